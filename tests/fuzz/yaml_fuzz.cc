// SPDX-License-Identifier: Apache-2.0
// Any text as a file that an operator applies; and what reads as YAML is written as YAML that reads
// the same.
#include <string_view>

#include "shared/codec/yaml.h"
#include "tests/fuzz/require.h"
#include "tests/fuzz/resources_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  weir::fuzz::CheckResources(text);
  const auto documents = weir::codec::ParseYaml(text);
  if (!documents.ok()) return 0;
  for (const weir::codec::YamlDocument& document : *documents) {
    const std::string written = weir::codec::ToYaml(document.value);
    const auto again = weir::codec::ParseYaml(written);
    WEIR_REQUIRE(again.ok(), again.status().ToString() + " in " + written);
    WEIR_REQUIRE(again->size() == 1 && again->at(0).value == document.value, written);
  }
  return 0;
}
