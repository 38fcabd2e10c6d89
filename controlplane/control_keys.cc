// SPDX-License-Identifier: Apache-2.0
// What operators do about keys: a node's is revoked, the server's is rotated (WIRE, Security).
#include <fmt/format.h>

#include "controlplane/control.h"
#include "shared/base/log.h"
#include "shared/base/text.h"

namespace weir::control {
namespace {

using codec::Json;

constexpr int64_t kNodesReturnMs = 8000;

// The same host, any port; of ipc, another file.
std::string BesideOf(const std::string& listen) {
  if (listen.starts_with("ipc://")) return listen + ".next";
  return listen.substr(0, listen.rfind(':')) + ":0";
}

std::string Chosen(const std::string& setting, const std::string& listen) {
  return setting.empty() ? BesideOf(listen) : setting;
}

api::Place ToApi(const publish::Bus::Place& place) {
  return {place.server_key, transport::Fingerprint(place.server_key), place.addresses.cfg,
          place.addresses.session, place.addresses.telemetry};
}

}  // namespace

api::KeyActions Control::MakeKeyActions() {
  return {.revoke = [this](const std::string& node, const std::string& actor,
                           const std::string& reason) { return Revoke(node, actor, reason); },
          .rotate = [this](const std::string& actor,
                           const std::string& reason) { return RotateKey(actor, reason); },
          .finish = [this](const std::string& actor, const std::string& reason,
                           bool force) { return FinishRotation(actor, reason, force); },
          .status = [this] { return KeyStatus(); }};
}

api::Bootstrap Control::Bootstrap() const {
  const publish::Bus::Places places = bus_->places();
  api::Bootstrap bootstrap;
  bootstrap.epoch = engine_->epoch();
  bootstrap.current = ToApi(places.current);
  if (places.next.has_value()) bootstrap.next = ToApi(*places.next);
  bootstrap.heartbeat_ms = publish::kHeartbeatMs;
  return bootstrap;
}

Status Control::Revoke(const std::string& node, const std::string& actor,
                       const std::string& reason) {
  WEIR_RETURN_IF_ERROR(engine_->store().RevokeNode(node, actor, reason));
  const std::string text =
      fmt::format("revoked by {}{}{}", actor, reason.empty() ? "" : ": ", reason);
  bus_->Revoke(node, text);
  Log("publish").warn("node {} is {}", node, text);
  events_->Add("node_revoked", {{"node", node}, {"actor", actor}, {"reason", reason}});
  return OkStatus();
}

Status Control::OpenNext() {
  return bus_->OpenNext(*keys_.next(),
                        {Chosen(settings_.rotation_cfg_listen, settings_.cfg_listen),
                         Chosen(settings_.rotation_session_listen, settings_.session_listen),
                         Chosen(settings_.rotation_telemetry_listen, settings_.telemetry_listen)});
}

Result<Json> Control::RotateKey(const std::string& actor, const std::string& reason) {
  WEIR_RETURN_IF_ERROR(keys_.BeginRotation());
  if (const Status opened = OpenNext(); !opened.ok()) {
    keys_.AbandonRotation();
    return opened;
  }
  const std::string next = transport::Fingerprint(keys_.next()->public_key);
  WEIR_RETURN_IF_ERROR(engine_->store().AddAudit(
      actor, "rotate", fmt::format("server key {}{}{}", next, reason.empty() ? "" : ": ", reason)));
  events_->Add("key_rotation", {{"state", "begun"}, {"fingerprint", next}, {"actor", actor}});
  return KeyStatus();
}

Result<Json> Control::FinishRotation(const std::string& actor, const std::string& reason,
                                     bool force) {
  if (!keys_.next().has_value()) return FailedPrecondition("no rotation goes on; weir keys rotate");
  const bool are_returning = rotation_resumed_ms_.has_value() &&
                             clock_.MonotonicMs() - *rotation_resumed_ms_ < kNodesReturnMs;
  if (are_returning && !force) {
    return FailedPrecondition(
        "the control plane has just started, and nodes that use the first key may still be on "
        "their way back; try again in a few seconds");
  }
  WEIR_ASSIGN_OR_RETURN(const Json status, KeyStatus());
  const auto left = status["nodes"]["current"].get<std::vector<std::string>>();
  if (!left.empty() && !force) {
    return FailedPrecondition(
        fmt::format("{} of the live nodes still use the key {}: {}; they would be cut off, unless "
                    "that is wanted (--force)",
                    left.size(), status["fingerprint"].get<std::string>(), Join(left, ", ")));
  }
  const std::string before = transport::Fingerprint(keys_.current().public_key);
  WEIR_RETURN_IF_ERROR(keys_.FinishRotation());
  bus_->RetireFirst();
  const std::string now = transport::Fingerprint(keys_.current().public_key);
  Log("publish").info("the server's key is {}; {} is gone", now, before);
  WEIR_RETURN_IF_ERROR(engine_->store().AddAudit(
      actor, "rotated",
      fmt::format("server key {} after {}{}{}", now, before, reason.empty() ? "" : ": ", reason)));
  events_->Add("key_rotation", {{"state", "finished"}, {"fingerprint", now}, {"actor", actor}});
  return KeyStatus();
}

Result<Json> Control::KeyStatus() const {
  const publish::Bus::Places places = bus_->places();
  const auto view = engine_->nodes();
  const auto live = [&](const publish::Bus::Place& place) {
    Json nodes = Json::array();
    for (const std::string& id : place.nodes) {
      const publish::NodeStatus* node = view->Find(id);
      if (node != nullptr && node->IsLive()) nodes.push_back(id);
    }
    return nodes;
  };
  const auto place = [](const publish::Bus::Place& at) -> Json {
    return {{"server_key", at.server_key},
            {"fingerprint", transport::Fingerprint(at.server_key)},
            {"channels",
             {{"cfg", at.addresses.cfg},
              {"session", at.addresses.session},
              {"telemetry", at.addresses.telemetry}}}};
  };
  Json status = place(places.current);
  status["nodes"] = {{"current", live(places.current)}, {"next", Json::array()}};
  if (places.next.has_value()) {
    status["next"] = place(*places.next);
    status["nodes"]["next"] = live(*places.next);
  }
  return status;
}

}  // namespace weir::control
