// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/xgboost/xgboost_runtime.h"

#include <fmt/compile.h>
#include <fmt/format.h>
#include <xgboost/c_api.h>

#include <cstring>
#include <utility>

namespace weir::node::runtime {
namespace {

constexpr char kPredict[] = R"({"type":0,"iteration_begin":0,"iteration_end":0,)"
                            R"("strict_shape":false,"missing":NaN,"cache_id":0})";

// XGBoost's own words without its time stamp, source line and stack trace.
Status XgboostError(const char* what) {
  std::string message = XGBGetLastError();
  message = message.substr(0, message.find('\n'));
  if (const size_t check = message.find("Check failed"); check != std::string::npos) {
    message = message.substr(check);
  } else if (const size_t stamp = message.find("] "); stamp != std::string::npos) {
    const size_t place = message.find(": ", stamp);  // [time] file:line: words
    if (place != std::string::npos) message = message.substr(place + 2);
  }
  return {Code::kInternal, fmt::format("xgboost {}: {}", what, message)};
}

const char* TypeString(DataType type) {
  switch (type) {
    case DataType::kBool:
    case DataType::kUint8:
      return "|u1";
    case DataType::kUint16:
      return "<u2";
    case DataType::kUint32:
      return "<u4";
    case DataType::kUint64:
      return "<u8";
    case DataType::kInt8:
      return "|i1";
    case DataType::kInt16:
      return "<i2";
    case DataType::kInt32:
      return "<i4";
    case DataType::kInt64:
      return "<i8";
    case DataType::kFp32:
      return "<f4";
    case DataType::kFp64:
      return "<f8";
  }
  return "";
}

// What in-place prediction wraps its input in. Without one of ours XGBoost makes one a call, and
// that reads the cgroup's files each time: a quarter of a request's time.
DMatrixHandle ThreadProxy() {
  struct Proxy {
    Proxy() {
      if (XGProxyDMatrixCreate(&handle) != 0) handle = nullptr;
    }
    ~Proxy() {
      if (handle != nullptr) XGDMatrixFree(handle);
    }
    DMatrixHandle handle = nullptr;
  };
  static thread_local const Proxy proxy;
  return proxy.handle;
}

class XgboostVersion final : public Version {
 public:
  explicit XgboostVersion(const Clock& clock) : clock_(clock) {}
  XgboostVersion(const XgboostVersion&) = delete;
  XgboostVersion& operator=(const XgboostVersion&) = delete;
  ~XgboostVersion() override {
    if (booster_ != nullptr) XGBoosterFree(booster_);
  }

  Status Load(std::string_view bytes) {
    if (XGBoosterCreate(nullptr, 0, &booster_) != 0) return XgboostError("create");
    if (XGBoosterLoadModelFromBuffer(booster_, bytes.data(), bytes.size()) != 0) {
      return XgboostError("load");
    }
    if (XGBoosterSetParam(booster_, "nthread", "1") != 0) return XgboostError("nthread");
    if (XGBoosterGetNumFeature(booster_, &features_) != 0) return XgboostError("features");
    return OkStatus();
  }

  void Start(const Request& request, int64_t deadline_ns, std::stop_token stop,
             Sink& sink) override {
    if (stop.stop_requested()) return sink.OnEnd(Unavailable("cancelled"), {});
    if (clock_.MonotonicNs() > deadline_ns) {
      return sink.OnEnd(Unavailable("the deadline has passed"), {});
    }
    if (request.inputs.size() != 1 || request.inputs[0].shape.size() != 2) {
      return sink.OnEnd(InvalidArgument("inputs", "xgboost takes one tensor of two dimensions"),
                        {});
    }
    sink.OnEnd(Predict(request.inputs[0], &sink), {});
  }

  bool TakesBatches() const override { return true; }

  Status WarmUp() override {
    Tensor input;
    input.shape = {1, static_cast<int64_t>(features_)};
    input.data.resize(features_ * sizeof(float));
    return Predict(input, nullptr);
  }

  const std::vector<domain::TensorSpec>& outputs() const override { return outputs_; }

 private:
  // Answers to `sink`, if there is one; the caller ends it.
  Status Predict(const Tensor& input, Sink* sink) {
    fmt::basic_memory_buffer<char, 192> array;
    fmt::format_to(
        std::back_inserter(array),
        FMT_COMPILE(R"({{"data":[{},true],"shape":[{},{}],"typestr":"{}","version":3}})"),
        reinterpret_cast<uintptr_t>(input.data.data()), input.shape[0], input.shape[1],
        TypeString(input.datatype));
    array.push_back('\0');
    const bst_ulong* shape = nullptr;
    bst_ulong rank = 0;
    const float* values = nullptr;
    if (XGBoosterPredictFromDense(booster_, array.data(), kPredict, ThreadProxy(), &shape, &rank,
                                  &values) != 0) {
      return XgboostError("predict");
    }
    if (sink == nullptr) return OkStatus();
    std::vector<int64_t> dimensions(shape, shape + rank);
    size_t count = 1;
    for (const int64_t dimension : dimensions) count *= static_cast<size_t>(dimension);
    const TensorView output{"predict", DataType::kFp32, dimensions,
                            std::as_bytes(std::span(values, count))};
    sink->OnHead();
    sink->OnChunk({&output, 1});
    return OkStatus();
  }

  const Clock& clock_;
  // Constant after Load; in-place prediction keeps its results in thread-local storage.
  BoosterHandle booster_ = nullptr;
  bst_ulong features_ = 0;
  const std::vector<domain::TensorSpec> outputs_ = {{"predict", "FP32", {-1}}};
};

class XgboostRuntime final : public Runtime {
 public:
  explicit XgboostRuntime(const Clock& clock) : clock_(clock) {}
  const char* name() const override { return "xgboost"; }

  Result<std::shared_ptr<Version>> Load(const VersionSource& source) override {
    if (source.bytes.empty() || source.bytes.front() != '{') {
      return InvalidArgument("",
                             "is no XGBoost model in JSON or UBJSON (save it as .json or .ubj)");
    }
    auto version = std::make_shared<XgboostVersion>(clock_);
    WEIR_RETURN_IF_ERROR(version->Load(source.bytes));
    return std::shared_ptr<Version>(std::move(version));
  }

 private:
  const Clock& clock_;
};

}  // namespace

std::shared_ptr<Runtime> MakeXgboostRuntime(const Clock& clock) {
  return std::make_shared<XgboostRuntime>(clock);
}

}  // namespace weir::node::runtime
