# SPDX-License-Identifier: Apache-2.0
# Everything comes from Debian 12 (ops/deps); one imported target per library.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(Boost 1.74 REQUIRED)
find_package(simdjson REQUIRED)
pkg_check_modules(zmq REQUIRED IMPORTED_TARGET libzmq)
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(sqlite3 REQUIRED IMPORTED_TARGET sqlite3)
find_library(XGBOOST_LIBRARY xgboost REQUIRED)  # its CMake package names a program Debian leaves out
find_package(SQLiteCpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(date REQUIRED)  # time zones
