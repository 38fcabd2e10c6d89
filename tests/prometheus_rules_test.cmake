# SPDX-License-Identifier: Apache-2.0
# ops/prometheus, as Prometheus itself reads it, and the unit tests of its rules. -DRULES=FOLDER
find_program(promtool promtool)
if(NOT promtool)
  message("NOT TESTED: promtool is missing; ops/deps installs it (package prometheus)")
  return()
endif()
foreach(arguments "check;config;prometheus.yml" "check;rules;recording.yml;alerts.yml"
        "test;rules;rules_test.yml")
  execute_process(COMMAND ${promtool} ${arguments} WORKING_DIRECTORY ${RULES}
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "promtool ${arguments}:\n${output}")
  endif()
endforeach()
