// Keeps what TensorRT promises (an engine of another version is refused, shapes beyond the profile too, outputs are there
// after the stream was waited for) and computes with ONNX Runtime: a "plan" is "PLAN 10.3.0 4 " and an ONNX file, where
// 4 is the most pictures it takes. With STAND_IN_NO_GPU there is no GPU, with STAND_IN_FULL no memory in it.
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "NvInfer.h"
#include "session_onnxruntime.hpp"

namespace {

using edgetune::detail::Bytes;
using edgetune::detail::Manifest;

constexpr std::int64_t kClasses = 10;
thread_local std::vector<std::function<void()>> pending;  // of the one stream: done when it is waited for

bool set(const char* name) { return std::getenv(name) != nullptr; }

class Context final : public nvinfer1::IExecutionContext {
 public:
  Context(const edgetune::detail::Session& session, std::int64_t most) : session_(session), most_(most) {}

  bool setInputShape(char const* name, nvinfer1::Dims const& dims) noexcept override {
    count_ = dims.d[0];
    return std::strcmp(name, "image") == 0 && dims.nbDims == 4 && count_ >= 1 && count_ <= most_ && dims.d[1] == 3;
  }

  nvinfer1::Dims getTensorShape(char const*) const noexcept override {
    return {2, {set("STAND_IN_OUT1") ? 1 : count_, kClasses}};
  }

  bool setTensorAddress(char const* name, void* data) noexcept override {
    (std::strcmp(name, "image") == 0 ? input_ : output_) = data;
    return true;
  }

  bool enqueueV3(cudaStream_t) noexcept override {
    if (input_ == nullptr || output_ == nullptr) return false;
    pending.push_back([session = &session_, input = input_, output = output_, count = count_] {
      session->run(input, static_cast<std::size_t>(count), static_cast<float*>(output));
    });
    return true;
  }

 private:
  const edgetune::detail::Session& session_;
  std::int64_t most_, count_ = 0;
  void *input_ = nullptr, *output_ = nullptr;
};

class Engine final : public nvinfer1::ICudaEngine {
 public:
  Engine(const Bytes& onnx, std::int64_t most) : most_(most) {
    Manifest manifest;
    manifest.input = {"image", {-1, 3, 8, 8}};
    manifest.output = {"logits", {-1, kClasses}};
    manifest.labels.resize(kClasses);
    session_ = std::make_unique<edgetune::detail::OnnxruntimeSession>(edgetune::detail::load_library(""), onnx, manifest, 1);
  }

  std::int32_t getNbIOTensors() const noexcept override { return 2; }
  nvinfer1::TensorIOMode getTensorIOMode(char const* name) const noexcept override {
    if (std::strcmp(name, "image") == 0) return nvinfer1::TensorIOMode::kINPUT;
    return std::strcmp(name, "logits") == 0 ? nvinfer1::TensorIOMode::kOUTPUT : nvinfer1::TensorIOMode::kNONE;
  }
  nvinfer1::DataType getTensorDataType(char const*) const noexcept override { return nvinfer1::DataType::kFLOAT; }
  nvinfer1::Dims getTensorShape(char const* name) const noexcept override {
    if (std::strcmp(name, "image") == 0) return {4, {-1, 3, 8, 8}};
    return {2, {-1, set("STAND_IN_DYNAMIC") ? -1 : kClasses}};
  }
  nvinfer1::TensorFormat getTensorFormat(char const*) const noexcept override {
    return set("STAND_IN_HWC8") ? nvinfer1::TensorFormat::kHWC8 : nvinfer1::TensorFormat::kLINEAR;
  }
  nvinfer1::Dims getProfileShape(char const*, std::int32_t, nvinfer1::OptProfileSelector which) const noexcept override {
    const std::int64_t least = most_ == 9 ? 9 : 1;  // a plan of nine takes nine and nothing else
    return {4, {which == nvinfer1::OptProfileSelector::kMIN ? least : most_, 3, 8, 8}};
  }
  nvinfer1::IExecutionContext* createExecutionContext() noexcept override { return new Context(*session_, most_); }

 private:
  std::unique_ptr<edgetune::detail::Session> session_;
  std::int64_t most_;
};

class Runtime final : public nvinfer1::IRuntime {
 public:
  explicit Runtime(nvinfer1::ILogger& logger) : logger_(logger) {}

  void setDLACore(std::int32_t) noexcept override {}
  nvinfer1::ICudaEngine* deserializeCudaEngine(void const* blob, std::size_t size) noexcept override {
    static const std::string kMark = "PLAN 10.3.0 ";
    const char* begin = static_cast<const char*>(blob);
    if (size < kMark.size() + 2 || kMark.compare(0, std::string::npos, begin, kMark.size()) != 0) {
      logger_.log(nvinfer1::ILogger::Severity::kERROR, "Error Code 1: Serialization (Version tag does not match.)");
      logger_.log(nvinfer1::ILogger::Severity::kERROR, "Error Code 4: Internal Error (Engine deserialization failed.)");
      return nullptr;
    }
    begin += kMark.size();
    return new Engine(Bytes(begin + 2, static_cast<const char*>(blob) + size), *begin - '0');
  }

 private:
  nvinfer1::ILogger& logger_;
};

}  // namespace

extern "C" {

std::int32_t getInferLibVersion() noexcept { return 100300; }

cudaError_t cudaMalloc(void** devPtr, std::size_t size) {
  *devPtr = set("STAND_IN_FULL") ? nullptr : std::malloc(size);
  return *devPtr != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFree(void* devPtr) {
  std::free(devPtr);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* dst, const void* src, std::size_t count, cudaMemcpyKind, cudaStream_t) {
  pending.push_back([=] { std::memcpy(dst, src, count); });
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t*, unsigned int) {
  return set("STAND_IN_NO_GPU") ? cudaErrorNoDevice : cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  for (const auto& one : pending) one();
  pending.clear();
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int*) { return set("STAND_IN_NO_GPU") ? cudaErrorNoDevice : cudaSuccess; }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* prop, int) {
  std::strcpy(prop->name, "Orin");
  prop->major = 8;
  prop->minor = 7;
  return cudaSuccess;
}
cudaError_t cudaGetLastError(void) { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorNoDevice ? "no CUDA-capable device is detected" : "out of memory";
}
}

namespace nvinfer1 {
IRuntime* createInferRuntime(ILogger& logger) noexcept { return new Runtime(logger); }
}  // namespace nvinfer1
