# SPDX-License-Identifier: Apache-2.0
# find_package(weir) → weir::decision: flag decisions in your own process, <weir/decision.h>.
include(CMakeFindDependencyMacro)
find_dependency(yaml-cpp)
find_dependency(fmt)
find_dependency(PkgConfig)
pkg_check_modules(sodium QUIET IMPORTED_TARGET libsodium)
if(sodium_FOUND)
  include("${CMAKE_CURRENT_LIST_DIR}/weirTargets.cmake")
else()
  set(weir_FOUND FALSE)
  set(weir_NOT_FOUND_MESSAGE "libsodium is missing; install libsodium-dev")
endif()
