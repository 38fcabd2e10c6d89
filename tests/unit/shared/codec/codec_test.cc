// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <msgpack.hpp>
#include <random>

#include "shared/codec/domain_fields.h"
#include "shared/codec/json.h"
#include "shared/codec/msgpack.h"
#include "shared/codec/resource.h"
#include "shared/codec/yaml.h"

namespace weir::codec {
namespace {

domain::SplitEntry SampleSplit() {
  domain::SplitEntry split;
  split.rollout = "fraud-1-1-0";
  split.model = "fraud_detection";
  split.candidate = "1.1.0";
  split.threshold = 10'000;
  split.hash_key = "user_id";
  split.seed = std::string(300, 's');
  split.nodes = {{"env", "prod"}, {"zone", "a"}};
  return split;
}

TEST(Msgpack, RoundTrips) {
  const domain::SplitEntry split = SampleSplit();
  const auto back = FromMsgpack<domain::SplitEntry>(ToMsgpack(split));
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(*back, split);
}

// The independent reader: msgpack-c.
TEST(Msgpack, IsReadByAnotherLibrary) {
  const std::string bytes = ToMsgpack(SampleSplit());
  const auto handle = msgpack::unpack(bytes.data(), bytes.size());
  const auto map = handle.get().as<std::map<uint32_t, msgpack::object>>();
  EXPECT_EQ(map.at(2).as<std::string>(), "fraud-1-1-0");
  EXPECT_EQ(map.at(10).as<uint32_t>(), 10'000u);
  EXPECT_EQ(map.at(18).as<domain::Labels>().at("zone"), "a");
  EXPECT_FALSE(map.contains(6));  // the empty flag is left out
}

struct Numbers {
  int64_t i = 0;
  uint64_t u = 0;
  double d = 0;
};
template <class V>
void Describe(V& v, Numbers& f) {
  v(2, "i", f.i);
  v(4, "u", f.u);
  v(6, "d", f.d);
}

TEST(Msgpack, NumbersSurviveAtEveryWidth) {
  for (const int64_t i :
       {int64_t{0}, int64_t{-1}, int64_t{-32}, int64_t{-33}, int64_t{127}, int64_t{128},
        int64_t{255}, int64_t{256}, int64_t{65'535}, int64_t{65'536}, int64_t{1} << 40,
        std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    const Numbers numbers{i, static_cast<uint64_t>(i), static_cast<double>(i)};
    const auto back = FromMsgpack<Numbers>(ToMsgpack(numbers));
    ASSERT_TRUE(back.ok()) << i;
    EXPECT_EQ(back->i, i);
    EXPECT_EQ(back->u, static_cast<uint64_t>(i));
    EXPECT_EQ(back->d, static_cast<double>(i));
  }
}

std::string Packed(const std::function<void(msgpack::packer<msgpack::sbuffer>&)>& pack) {
  msgpack::sbuffer buffer;
  msgpack::packer<msgpack::sbuffer> packer(buffer);
  pack(packer);
  return {buffer.data(), buffer.size()};
}

TEST(Msgpack, UnknownOddKeyIsSkippedEvenKeyIsRefused) {
  const auto with_key = [](int key) {
    return Packed([key](auto& p) {
      p.pack_map(2);
      p.pack(2).pack(7);
      p.pack(key);
      p.pack_array(2).pack(std::string("x")).pack(std::map<std::string, double>{{"a", 1.5}});
    });
  };
  EXPECT_EQ(FromMsgpack<Numbers>(with_key(101))->i, 7);
  const Status refused = FromMsgpack<Numbers>(with_key(100)).status();
  EXPECT_EQ(refused.code(), Code::kDataLoss);
  EXPECT_NE(refused.message().find("key 100"), std::string::npos) << refused.ToString();
}

TEST(Msgpack, RefusesWhatDoesNotFit) {
  EXPECT_FALSE(FromMsgpack<Numbers>("").ok());
  EXPECT_FALSE(FromMsgpack<Numbers>(Packed([](auto& p) { p.pack(1); })).ok());
  EXPECT_FALSE(FromMsgpack<Numbers>(Packed([](auto& p) {
                 p.pack_map(2).pack(2).pack(1).pack(2).pack(1);
               })).ok());
  EXPECT_FALSE(FromMsgpack<Numbers>(ToMsgpack(Numbers{}) + "x").ok());
}

TEST(Msgpack, LimitsHoldBeforeAllocation) {
  // dd ff ff ff ff announces an array of 4 billion, df a map, db a text, c7 an extension.
  for (const char* head :
       {"\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\xc7\xff\x01"}) {
    std::string bytes = "\x81\x01";  // the odd key 1, unknown to Numbers: skipped
    bytes += head;
    EXPECT_FALSE(FromMsgpack<Numbers>(bytes).ok());
  }
  EXPECT_FALSE(FromMsgpack<Numbers>("\x81\x01" + std::string(100'000, '\x91')).ok());  // depth
}

TEST(Msgpack, SurvivesRandomDamage) {
  std::mt19937 random(1);  // NOLINT: the same damage every time
  const std::string good = ToMsgpack(SampleSplit());
  for (int i = 0; i < 20'000; ++i) {
    std::string bad = good;
    for (int flips = 0; flips < 3; ++flips)
      bad[random() % bad.size()] = static_cast<char>(random());
    bad.resize(random() % (bad.size() + 1));
    static_cast<void>(FromMsgpack<domain::SplitEntry>(bad).ok());
  }
}

TEST(Json, RoundTripsThroughText) {
  domain::RolloutSpec spec;
  spec.model = "m";
  spec.candidate = "2";
  spec.phases = {
      {.name = "canary", .percentage = 0.5, .duration = {90'000}, .min_requests = 10, .gates = {}}};
  spec.rollback.error_rate = 0.05;
  const auto text = ToJson(spec).dump();
  const auto back = FromJson<domain::RolloutSpec>(*ParseJson(text));
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(*back, spec);
}

TEST(Json, NamesUnknownKeysAndTheNearest) {
  Errors errors;
  FromJson<domain::FlagSpec>(
      *ParseJson(R"({"enabled": true, "rolout_percentage": 5, "hash_seed": 7})"), "spec", errors);
  ASSERT_EQ(errors.size(), 2u);
  EXPECT_EQ(errors[0].path, "spec.hash_seed");
  EXPECT_NE(errors[0].message.find("quotes"), std::string::npos);
  EXPECT_EQ(errors[1].path, "spec.rolout_percentage");
  EXPECT_NE(errors[1].message.find("did you mean \"rollout_percentage\"?"), std::string::npos);
}

TEST(Json, RefusesDuplicateKeysDepthAndTwoSpellings) {
  EXPECT_NE(ParseJson(R"({"a": {"b": 1, "b": 2}})").status().message().find("\"b\" is given twice"),
            std::string::npos);
  EXPECT_FALSE(ParseJson(std::string(100, '[') + std::string(100, ']')).ok());
  EXPECT_FALSE(ParseJson("{} x").ok());
  EXPECT_FALSE(
      FromJson<domain::FlagSpec>(*ParseJson(R"({"percentage": 1, "rolloutPercentage": 2})")).ok());
}

// The text does not end: were it read to the end, that would be the error.
TEST(Json, StopsWhereItIsTooDeep) {
  EXPECT_EQ(ParseJson(std::string(100, '[')).status().message(), "nested deeper than 64");
}

TEST(Yaml, FollowsTheCoreSchemaAndKeepsLines) {
  const auto documents =
      ParseYaml("a: yes\nb:\n  - 1\n  - \"2\"\nc: {d: 1.5, e: ~}\n---\nf: true\n");
  ASSERT_TRUE(documents.ok()) << documents.status().ToString();
  ASSERT_EQ(documents->size(), 2u);
  const YamlDocument& first = (*documents)[0];
  EXPECT_EQ(first.value,
            (Json{{"a", "yes"}, {"b", {1, "2"}}, {"c", {{"d", 1.5}, {"e", nullptr}}}}));
  EXPECT_EQ(first.LineOf("b[1]"), 4);
  EXPECT_EQ(first.LineOf("c.d.x"), 5);
  EXPECT_EQ((*documents)[1].value["f"], true);
}

TEST(Yaml, RefusesDuplicateKeysWithTheLine) {
  const Status status = ParseYaml("f:\n  enabled: true\n  enabled: false\n").status();
  EXPECT_EQ(status.field(), "f.enabled");
  EXPECT_NE(status.message().find("line 3"), std::string::npos) << status.ToString();
}

TEST(Yaml, RefusesAliasBombs) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    bomb += fmt::format("a{}: &a{} [", i, i);
    for (int j = 0; j < 10; ++j) bomb += fmt::format("*a{},", i - 1);
    bomb += "]\n";
  }
  EXPECT_FALSE(ParseYaml(bomb).ok());
}

// 25 KB that would keep gigabytes of paths.
TEST(Yaml, RefusesAliasesUnderLongKeys) {
  std::string text = "a: &a [";
  for (int i = 0; i < 1000; ++i) text += "x,";
  text += "]\n? " + std::string(20'000, 'k') + "\n: [";
  for (int i = 0; i < 400; ++i) text += "*a,";
  EXPECT_FALSE(ParseYaml(text + "]\n").ok());
}

// 520 KB that would be gigabytes, in one document or in many.
TEST(Yaml, RefusesAliasesOfLongTexts) {
  const std::string head = "a: &a \"" + std::string(500'000, 'x') + "\"\nb:\n";
  const auto message = [](const std::string& text) { return ParseYaml(text).status().message(); };
  std::string text = head;
  for (int i = 0; i < 4000; ++i) text += "- *a\n";
  EXPECT_NE(message(text).find("larger than 32 MB"), std::string::npos) << message(text);
  text.clear();
  for (int i = 0; i < 10; ++i) text += "---\n" + head + "- *a\n- *a\n- *a\n- *a\n- *a\n- *a\n";
  EXPECT_NE(message(text).find("larger than 32 MB"), std::string::npos) << message(text);
}

// yaml-cpp would keep gigabytes of each.
TEST(Yaml, RefusesMoreThanItCanHoldBeforeItIsRead) {
  std::string list;
  for (int i = 0; i < 1'000'001; ++i) list += "-\n";
  for (const std::string& text : {"a: " + std::string(1'000'001, '['), list}) {
    const Status status = ParseYaml(text).status();
    EXPECT_NE(status.message().find("more than 1000000"), std::string::npos) << status.ToString();
  }
}

TEST(Yaml, RefusesOneTextOfMoreThanAMegabyte) {
  const Status status = ParseYaml("a: " + std::string(1'100'000, 'x') + "\n").status();
  EXPECT_EQ(status.field(), "a");
  EXPECT_NE(status.message().find("1100000 bytes"), std::string::npos) << status.ToString();
}

TEST(Yaml, RefusesTextThatGoesOnWhereItsDocumentHasEnded) {
  for (const char* text : {"\"a\",\n", "\"flags\": {}},\n", "a\n---\n\"b\", c\n"}) {
    const auto documents = ParseYaml(text);
    EXPECT_FALSE(documents.ok()) << text;
  }
}

TEST(Yaml, RefusesWhatIsNoUtf8WithTheLine) {
  const FileContent content = ReadResources("a:\n  enabled: true\n  owner: \xff\n", "f");
  ASSERT_EQ(content.errors.size(), 1u);
  EXPECT_EQ(content.errors[0].line, 3);
  for (const char* text : {"a: \"x\\_y\"\n", "\"x\\Ny\": 1\n"})
    EXPECT_FALSE(ParseYaml(text).ok()) << text;
}

TEST(Yaml, WritesWhatItReads) {
  const Json value = {{"version", "1.10"},
                      {"yes", "true"},
                      {"n", 3},
                      {"list", {1, 2}},
                      {"deep", {{"x", ""}}},
                      {"nothing", nullptr},
                      {"null", "null"},
                      {"items", {nullptr, {{"a", nullptr}}}}};
  EXPECT_EQ((*ParseYaml(ToYaml(value)))[0].value, value);
}

TEST(Yaml, WritesLineEndsOfEverySystem) {
  const Json value = {{"dos", "a\r\nb"}, {"mac", "a\rb"}, {"tab", "a\tb"}};
  EXPECT_EQ((*ParseYaml(ToYaml(value)))[0].value, value);
}

// `off` is false to readers of YAML 1.1.
TEST(Yaml, QuotesWhatOlderReadersTakeForBooleans) {
  EXPECT_EQ(ToYaml({{"off", "Yes"}}), "\"off\": \"Yes\"\n");
}

TEST(Resources, FlagsFileOfTheDocumentsLoads) {
  const FileContent content = ReadResources(R"(
phase4_rollout:
  enabled: true
  percentage: 100
  hash_seed: "phase4-rollout-2025-01-08"
ttft_pipeline:
  enabled: true
  rollout_percentage: 10
  hash_seed: "ttft-pipeline-2025-01-08"
  speculation:
    enabled: false
    allowlist_only: true
emergency:
  kill_switch: false
  rollback_to_baseline: false
canary:
  enabled: true
  rolloutPercentage: 10
  strategy: hash
  hashKey: user_id
  hashSeed: "canary-2025-01-08"
  rollback:
    enabled: true
    errorRateThreshold: 0.05
    p99LatencyThreshold: 500
    evaluationWindow: 300
)",
                                            "flags.yaml");
  for (const FileError& error : content.errors)
    ADD_FAILURE() << error.path << ": " << error.message;
  EXPECT_TRUE(std::none_of(content.documents.begin(), content.documents.end(),
                           [](const auto& document) { return document.is_partial; }));
  std::map<std::string, Json> specs;
  for (const ResourceDocument& document : content.documents) specs[document.name] = document.spec;
  EXPECT_EQ(specs.at("ttft_pipeline")["requires"], Json({"phase4_rollout"}));
  EXPECT_TRUE(specs.contains("ttft_pipeline.speculation"));
  EXPECT_TRUE(specs.contains("default"));
  ASSERT_EQ(content.warnings.size(), 1u);
  EXPECT_EQ(content.warnings[0].path, "canary");
}

TEST(Resources, ErrorsSayFileLineAndPathAllAtOnce) {
  const FileContent content = ReadResources(
      "a:\n  enabled: boolean\nb:\n  enabled: true\n  rollout_percentage: 140\n  hash_seed: "
      "s\nc:\n  rollout_percentage: 5\n",
      "flags.yaml");
  ASSERT_EQ(content.errors.size(), 2u);
  EXPECT_EQ(content.errors[0].path, "a.enabled");
  EXPECT_EQ(content.errors[0].line, 2);
  EXPECT_EQ(content.errors[1].path, "b.rollout_percentage");
  EXPECT_NE(content.errors[1].message.find("140 is not in 0..100"), std::string::npos);
  ASSERT_EQ(content.documents.size(), 1u) << "c may be an edit";
  ASSERT_EQ(content.documents[0].when_new.size(), 1u);
  EXPECT_EQ(content.documents[0].when_new[0].path, "c.hash_seed");
  EXPECT_EQ(content.documents[0].when_new[0].line, 7);
}

TEST(Resources, DocumentRoundTrips) {
  const FileContent content = ReadResources(R"(
apiVersion: weir/v1
kind: Rollout
metadata: {name: fraud-1-1-0, labels: {team: risk}}
spec:
  model: fraud_detection
  candidate: "1.1.0"
  phases:
    - {name: canary, percentage: 1, duration: 24h, min_requests: 1000}
    - {name: full, percentage: 100, gates: [{type: metrics_threshold, metric: error_rate, condition: "< 0.01"}]}
)",
                                            "r.yaml");
  ASSERT_TRUE(content.errors.empty()) << content.errors[0].path << content.errors[0].message;
  domain::Resource resource;
  resource.kind = domain::Kind::kRollout;
  resource.name = content.documents[0].name;
  resource.labels = {{"team", "risk"}};
  Errors errors;
  resource.spec = SpecFromJson(resource.kind, content.documents[0].spec, errors);
  resource.status.emplace().state = "progressing";
  const auto back = ResourceFromJson(ResourceToJson(resource));
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(*back, resource);
}

TEST(Resources, WrongKindGetsTheNearest) {
  const FileContent content =
      ReadResources("apiVersion: weir/v1\nkind: Modle\nmetadata: {name: x}\n", "m.yaml");
  ASSERT_EQ(content.errors.size(), 1u);
  EXPECT_NE(content.errors[0].message.find("did you mean \"Model\"?"), std::string::npos);
  EXPECT_EQ(content.errors[0].line, 2);
}

}  // namespace
}  // namespace weir::codec
