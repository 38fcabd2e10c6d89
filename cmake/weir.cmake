# SPDX-License-Identifier: Apache-2.0
# One interface target carries the options; one function makes a module, one a program, one a test.
add_library(weir_options INTERFACE)
target_include_directories(weir_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
target_compile_options(weir_options INTERFACE -Wall -Wextra -Werror -Wno-error=mismatched-new-delete)
# GCC 12 takes "a" + std::string for an overlapping or overlong copy once it optimises (its bugs
# 105651 and 105329).
target_compile_options(weir_options INTERFACE
  $<$<NOT:$<CONFIG:Debug>>:-Wno-restrict> $<$<NOT:$<CONFIG:Debug>>:-Wno-error=array-bounds>)
target_compile_definitions(weir_options INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ALLOW_DEPRECATED_HEADERS)
if(WEIR_SANITIZE STREQUAL "asan")
  target_compile_options(weir_options INTERFACE -g1 -fsanitize=address,undefined -fno-omit-frame-pointer)
  target_link_options(weir_options INTERFACE -fsanitize=address,undefined)
elseif(WEIR_SANITIZE STREQUAL "tsan")
  target_compile_options(weir_options INTERFACE -g1 -fsanitize=thread -fno-omit-frame-pointer -Wno-error=tsan)
  target_link_options(weir_options INTERFACE -fsanitize=thread)
elseif(WEIR_SANITIZE STREQUAL "fuzz")  # clang; the fuzz targets themselves link -fsanitize=fuzzer
  target_compile_options(weir_options INTERFACE -g1 -O1 -fno-omit-frame-pointer
    -fsanitize=fuzzer-no-link,address,undefined -Wno-unknown-warning-option)
  target_link_options(weir_options INTERFACE -fsanitize=address,undefined)
elseif(NOT WEIR_SANITIZE STREQUAL "")
  message(FATAL_ERROR "WEIR_SANITIZE=${WEIR_SANITIZE} is not one of: asan, tsan, fuzz, empty")
endif()

# What nearly every source reads, compiled once for all modules and programs, and once more with
# GoogleTest for all tests. The preset `release` does without, so that a forgotten #include shows.
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/precompiled.cc CONTENT "")  # written once
add_library(weir_precompiled OBJECT EXCLUDE_FROM_ALL ${PROJECT_BINARY_DIR}/generated/precompiled.cc)
target_link_libraries(weir_precompiled PRIVATE weir_options spdlog::spdlog fmt::fmt Threads::Threads)
target_precompile_headers(weir_precompiled PRIVATE
  <algorithm> <functional> <map> <memory> <optional> <set> <string> <utility> <variant> <vector>
  <fmt/format.h> <nlohmann/json.hpp>)

# Sources of one target compile several at a time: half the work of a build from nothing. So names in
# anonymous namespaces are unique within a target. `release` does without, as above.
function(weir_unite target)
  if(WEIR_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  endif()
endfunction()

# weir_module(weir_shared_base SOURCES a.cc b.cc PUBLIC deps PRIVATE deps): alias weir::base
function(weir_module target)
  cmake_parse_arguments(M "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  string(REGEX REPLACE "^weir_[a-z]+_" "" short ${target})
  if(M_SOURCES)
    add_library(${target} STATIC ${M_SOURCES})
    target_link_libraries(${target} PUBLIC weir_options ${M_PUBLIC} PRIVATE ${M_PRIVATE})
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE weir_options ${M_PUBLIC})
  endif()
  if(M_SOURCES)
    target_precompile_headers(${target} REUSE_FROM weir_precompiled)
    weir_unite(${target})
  endif()
  add_library(weir::${short} ALIAS ${target})
endfunction()

# weir_test(name LABEL unit SOURCES a_test.cc DEPS weir::base): one gtest program, one ctest per case
function(weir_test name)
  cmake_parse_arguments(T "" "LABEL;TIMEOUT" "SOURCES;DEPS" ${ARGN})
  if(NOT T_LABEL)
    set(T_LABEL unit)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 60)
  endif()
  add_executable(${name} ${T_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE weir_options ${T_DEPS} GTest::gmock GTest::gtest_main)
  target_precompile_headers(${name} REUSE_FROM weir_precompiled_test)
  weir_unite(${name})
  target_compile_definitions(${name} PRIVATE WEIR_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                             WEIR_BIN_DIR="${PROJECT_BINARY_DIR}/bin")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${T_LABEL} TIMEOUT ${T_TIMEOUT})
endfunction()
