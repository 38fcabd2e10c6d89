# SPDX-License-Identifier: Apache-2.0
# cmake -DBUILD=… -DSOURCE=… -DWORK=… -DFLAGS=… -P package_test.cmake: installs the development
# files to a fresh prefix, builds examples/embed against nothing but them, and compares what it
# prints. The buckets are Python's: int(md5("user-1:ttft-pipeline-2025-01-08")[:8], 16) on the fine
# scale of DECISIONS.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "exit ${code}: ${ARGN}\n${out}")
  endif()
endfunction()

function(expect_output file expected)
  execute_process(COMMAND ${WORK}/build/embed ${file} RESULT_VARIABLE code OUTPUT_VARIABLE out)
  if(NOT code EQUAL 0 OR NOT out STREQUAL expected)
    message(FATAL_ERROR "embed ${file}: exit ${code}, printed\n${out}\nexpected\n${expected}")
  endif()
  message(STATUS "embed ${file} printed\n${out}")
endfunction()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix --component development)
# The header stands alone: the copy is built where the tree's own headers cannot be found.
file(COPY ${SOURCE}/examples/embed DESTINATION ${WORK})
run(${CMAKE_COMMAND} -S ${WORK}/embed -B ${WORK}/build -DCMAKE_PREFIX_PATH=${WORK}/prefix
    -DCMAKE_CXX_COMPILER=${COMPILER} "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror ${FLAGS}"
    -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF)
run(${CMAKE_COMMAND} --build ${WORK}/build)

expect_output(${WORK}/embed/feature-flags.yaml
"user-1: baseline (bucket 17460, threshold 10000)
user-2: baseline (bucket 17159, threshold 10000)
user-3: baseline (bucket 31152, threshold 10000)
user-4: baseline (bucket 61430, threshold 10000)
user-5: baseline (bucket 30081, threshold 10000)
ttft_pipeline for user-22: true, SPLIT
ttft_pipeline.speculation for user-22: true, ALLOWLIST
7 decisions, 2 on
")

file(READ ${WORK}/embed/feature-flags.yaml flags)
string(REPLACE "rollout_percentage: 10" "rollout_percentage: 30.082" flags "${flags}")
file(WRITE ${WORK}/more.yaml "${flags}")
expect_output(${WORK}/more.yaml
"user-1: canary (bucket 17460, threshold 30082)
user-2: canary (bucket 17159, threshold 30082)
user-3: baseline (bucket 31152, threshold 30082)
user-4: baseline (bucket 61430, threshold 30082)
user-5: canary (bucket 30081, threshold 30082)
ttft_pipeline for user-22: true, SPLIT
ttft_pipeline.speculation for user-22: true, ALLOWLIST
7 decisions, 5 on
")

file(WRITE ${WORK}/bad.yaml "ttft_pipeline: {enabled: true, rollout_percentage: 140, hash_seed: s}\n")
execute_process(COMMAND ${WORK}/build/embed ${WORK}/bad.yaml RESULT_VARIABLE code
                OUTPUT_VARIABLE out ERROR_VARIABLE error)
if(NOT code EQUAL 1 OR NOT error MATCHES "bad.yaml:1: ttft_pipeline.rollout_percentage: 140")
  message(FATAL_ERROR "a percentage of 140: exit ${code}, ${error}")
endif()
