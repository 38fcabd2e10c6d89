# SPDX-License-Identifier: Apache-2.0
# cmake -DPROGRAM=weir_fraud_models -DTREE=config/models -DOUT=DIR -P models_reproduce.cmake
# Makes the demo's models again and compares every byte with those in the tree.
file(REMOVE_RECURSE ${OUT})
execute_process(COMMAND ${PROGRAM} --out ${OUT} COMMAND_ERROR_IS_FATAL ANY)
foreach(name fraud_detection-1.0.0.json fraud_detection-1.1.0.json fraud_detection-1.2.0.json
             requests.jsonl)
  execute_process(COMMAND ${CMAKE_COMMAND} -E compare_files ${OUT}/${name} ${TREE}/${name}
                  RESULT_VARIABLE differs)
  if(differs)
    message(SEND_ERROR "${TREE}/${name} is not what ${PROGRAM} makes: see config/models/README.md")
  endif()
endforeach()
