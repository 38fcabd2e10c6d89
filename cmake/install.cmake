# SPDX-License-Identifier: Apache-2.0
# Where Linux users expect things, and a Debian package: cpack -G DEB in the build directory.
include(GNUInstallDirs)
install(TARGETS weir weir-control weir-node RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY config/models config/examples DESTINATION ${CMAKE_INSTALL_DATADIR}/weir)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ops/systemd/weir-control.service ops/systemd/weir-node.service
        DESTINATION lib/systemd/system)
foreach(shell bash zsh fish)
  set(script ${PROJECT_BINARY_DIR}/completion/${shell})
  add_custom_command(OUTPUT ${script} COMMAND weir completion ${shell} > ${script} DEPENDS weir)
  list(APPEND completions ${script})
endforeach()
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/completion)
add_custom_target(completions ALL DEPENDS ${completions})
install(FILES ${PROJECT_BINARY_DIR}/completion/bash RENAME weir
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${PROJECT_BINARY_DIR}/completion/zsh RENAME _weir
        DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
install(FILES ${PROJECT_BINARY_DIR}/completion/fish RENAME weir.fish
        DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)

# For programs that decide in their own process: find_package(weir), weir::decision, one header.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/weirConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(TARGETS weir_decision EXPORT weirTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT weirTargets NAMESPACE weir:: DESTINATION ${package_dir} COMPONENT development)
install(FILES cmake/weirConfig.cmake ${PROJECT_BINARY_DIR}/weirConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT development)
install(FILES shared/evaluator/decision.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/weir
        COMPONENT development)
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT development)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME weir)
set(CPACK_PACKAGE_CONTACT "the Weir project")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Progressive delivery for model inference")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libyaml-cpp-dev, libfmt-dev, libsodium-dev, pkg-config")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
include(CPack)
