// SPDX-License-Identifier: Apache-2.0
// A second hand on the store's file, behind the store's back.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <string>

namespace weir::control::store {

// Runs a script; returns the first column of its first row, or "".
inline std::string RunSql(const std::string& file, const std::string& sql) {
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK) << file;
  std::string first;
  char* error = nullptr;
  const auto keep = [](void* out, int, char** values, char**) {
    std::string& text = *static_cast<std::string*>(out);
    if (text.empty() && values[0] != nullptr) text = values[0];
    return 0;
  };
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), keep, &first, &error), SQLITE_OK)
      << (error == nullptr ? "" : error);
  sqlite3_free(error);
  sqlite3_close(db);
  return first;
}

}  // namespace weir::control::store
