// Calls that TensorRT 8.5 to 11 have alike: tensors by name, and objects that `delete` destroys.
#include "session_tensorrt.hpp"

#include <NvInfer.h>
#include <cuda_runtime_api.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <mutex>
#include <type_traits>
#include <utility>

#include "edgetune/edgetune.hpp"

namespace edgetune::detail {
namespace {

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  ::cudaGetLastError();  // or the next call that looks there would be blamed for it
  throw BackendError(std::string("CUDA ") + what + ": " + ::cudaGetErrorString(error));
}

// Keeps the first error, which is the cause, that TensorRT told the calling thread since `take`. Never destroyed: TensorRT
// may log until the process ends.
class Log final : public nvinfer1::ILogger {
 public:
  static Log& instance() {
    static Log* log = new Log;
    return *log;
  }

  void log(Severity severity, const char* message) noexcept override {
    if (severity <= Severity::kERROR && first_[0] == '\0') std::strncpy(first_, message, sizeof first_ - 1);
  }

  // " (its own words)", and forgets them.
  static std::string take() {
    const std::string found = first_[0] != '\0' ? std::string(" (") + first_ + ")" : "";
    first_[0] = '\0';
    return found;
  }

 private:
  static thread_local char first_[512];
};

thread_local char Log::first_[512] = {};

// CUDA's current GPU is each thread's own: makes `device` the current one, and gives back the caller's.
class Current {
 public:
  explicit Current(int device) {
    check(::cudaGetDevice(&before_), "finds no GPU (is its driver there?)");
    check(::cudaSetDevice(device), "does not find its GPU again");
  }
  ~Current() { ::cudaSetDevice(before_); }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  int before_ = 0;
};

int current_device() {
  int device = 0;
  check(::cudaGetDevice(&device), "finds no GPU (is its driver there?)");
  return device;
}

// Memory of the GPU that grows with what is asked of it.
class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { ::cudaFree(place_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* room(std::size_t bytes) {
    if (bytes > bytes_) {
      ::cudaFree(std::exchange(place_, nullptr));
      bytes_ = 0;
      check(::cudaMalloc(&place_, bytes), "has no memory for a batch");
      bytes_ = bytes;
    }
    return place_;
  }

 private:
  void* place_ = nullptr;
  std::size_t bytes_ = 0;
};

class Stream {
 public:
  Stream() { check(::cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "does not start"); }
  ~Stream() { ::cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const noexcept { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// "10.3.0": 8.x tells 8502 for 8.5.2, later ones 100300 for 10.3.0.
std::string version() {
  const int number = getInferLibVersion(), unit = number >= 10000 ? 10000 : 1000;
  return std::to_string(number / unit) + "." + std::to_string(number % unit / 100) + "." + std::to_string(number % 100);
}

std::string processor() {
  utsname found{};
  return ::uname(&found) == 0 ? found.machine : "unknown";
}

// What the manifest says of a bundled engine must be so here; what one of both cannot tell is left to TensorRT.
void check_tied(const TensorrtPlan& plan) {
  cudaDeviceProp gpu{};
  check(::cudaGetDeviceProperties(&gpu, current_device()), "does not tell of its GPU");
  const std::string here[] = {version(), std::to_string(gpu.major) + "." + std::to_string(gpu.minor), gpu.name,
                              processor()};
  const std::pair<const char*, const std::string*> built[] = {
      {"TensorRT", &plan.version}, {"compute capability", &plan.sm}, {"GPU", &plan.gpu}, {"processor", &plan.arch}};
  for (std::size_t i = 0; i < std::size(here); ++i) {
    const auto& [title, value] = built[i];
    if (*value == here[i] || *value == "unknown" || here[i] == "unknown") continue;
    throw BundleError(plan.file + " cannot run here: it was built with " + title + " " + *value + ", and here is " +
                      here[i] + ". Engines never leave their version of TensorRT and their GPU: build one on this "
                      "device from the bundle's ONNX file, and name it (Options::tensorrt_plan, --tensorrt-plan)");
  }
}

class TensorrtSession final : public Session {
 public:
  TensorrtSession(const Bytes& plan, const Manifest& manifest)
      : title_("TensorRT " + version()),
        input_(manifest.input),
        output_(manifest.output),
        type_(manifest.preprocessing.pixels ? nvinfer1::DataType::kUINT8 : nvinfer1::DataType::kFLOAT),
        classes_(manifest.labels.size()) {
    for (std::size_t i = 1; i < input_.shape.size(); ++i) sample_bytes_ *= static_cast<std::size_t>(input_.shape[i]);
    if (!manifest.preprocessing.pixels) sample_bytes_ *= sizeof(float);
    Log& log = Log::instance();
    Log::take();
    runtime_.reset(nvinfer1::createInferRuntime(log));
    if (runtime_ == nullptr) throw BackendError(title_ + " does not start" + Log::take());
    if (manifest.dla_core >= 0) runtime_->setDLACore(manifest.dla_core);
    engine_.reset(runtime_->deserializeCudaEngine(plan.data(), plan.size()));
    if (engine_ == nullptr) {
      throw BundleError(title_ + " does not load the engine: it is damaged, or was built with another version or for "
                        "another GPU; engines never leave either, so build it here from its ONNX file" + Log::take());
    }
    check_tensor(input_, type_, nvinfer1::TensorIOMode::kINPUT);
    check_tensor(output_, nvinfer1::DataType::kFLOAT, nvinfer1::TensorIOMode::kOUTPUT);
    const nvinfer1::Dims least = takes(nvinfer1::OptProfileSelector::kMIN);
    if (least.d[0] != 1) {
      throw BundleError("the engine takes no less than " + std::to_string(least.d[0]) +
                        " pictures at once: build one that takes a single one");
    }
    most_ = static_cast<std::size_t>(takes(nvinfer1::OptProfileSelector::kMAX).d[0]);
    context_.reset(engine_->createExecutionContext());
    if (context_ == nullptr) {
      throw BackendError(title_ + " has no room to run the engine; is the GPU's memory full?" + Log::take());
    }
  }

  ~TensorrtSession() override {  // what is freed now lies on our GPU
    if (::cudaGetDevice(&back_.device) != cudaSuccess) back_.device = -1;
    ::cudaSetDevice(device_);
  }

  void run(const void* inputs, std::size_t count, float* outputs) const override {
    const std::lock_guard<std::mutex> lock(mutex_);  // a context runs one inference at a time
    const Current current(device_);
    Log::take();  // what was said before is not of this run
    const char* input = static_cast<const char*>(inputs);
    for (std::size_t start = 0; start < count; start += most_) {
      run_part(input + start * sample_bytes_, std::min(most_, count - start), outputs + start * classes_);
    }
  }

  const std::string& library() const noexcept override { return title_; }

 private:
  // [count, 3, H, W] of the engine's only profile, or of an engine that takes one size alone.
  nvinfer1::Dims takes(nvinfer1::OptProfileSelector which) const {
    nvinfer1::Dims found = engine_->getProfileShape(input_.name.c_str(), 0, which);
    if (found.nbDims != 4) found = engine_->getTensorShape(input_.name.c_str());
    if (found.nbDims != 4 || found.d[0] < 1) throw BundleError("the engine does not say how many pictures it takes: build it with trtexec's --minShapes");
    return found;
  }

  void check_tensor(const Signature& declared, nvinfer1::DataType type, nvinfer1::TensorIOMode mode) const {
    const char* name = declared.name.c_str();
    bool fits = engine_->getNbIOTensors() == 2 && engine_->getTensorIOMode(name) == mode &&
                engine_->getTensorDataType(name) == type &&
                engine_->getTensorFormat(name) == nvinfer1::TensorFormat::kLINEAR;
    if (fits) {
      const nvinfer1::Dims shape = engine_->getTensorShape(name);
      fits = shape.nbDims == static_cast<int>(declared.shape.size());
      for (std::size_t i = 0; fits && i < declared.shape.size(); ++i) {
        fits = shape.d[i] < 0 || declared.shape[i] < 0 || shape.d[i] == declared.shape[i];
      }
    }
    if (!fits) {
      throw BundleError("the engine has no " + declared.name +
                        " as the manifest says it: was it built for another bundle?");
    }
  }

  void run_part(const void* input, std::size_t count, float* output) const {
    nvinfer1::Dims shape{};
    shape.nbDims = 4;
    shape.d[0] = static_cast<std::remove_reference_t<decltype(shape.d[0])>>(count);
    for (std::size_t i = 1; i < 4; ++i) {
      shape.d[i] = static_cast<std::remove_reference_t<decltype(shape.d[0])>>(input_.shape[i]);
    }
    const std::size_t input_bytes = count * sample_bytes_, output_bytes = count * classes_ * sizeof(float);
    void *sent = given_.room(input_bytes), *made = found_.room(output_bytes);
    if (!context_->setInputShape(input_.name.c_str(), shape) ||
        !context_->setTensorAddress(input_.name.c_str(), sent) ||
        !context_->setTensorAddress(output_.name.c_str(), made)) {
      throw BackendError(title_ + " could not run the engine" + Log::take());
    }
    const nvinfer1::Dims given = context_->getTensorShape(output_.name.c_str());
    if (given.nbDims != 2 || given.d[0] != shape.d[0] || static_cast<std::size_t>(given.d[1]) != classes_) {
      throw BackendError("the engine's outputs for " + std::to_string(count) + " pictures are not as many, of " +
                         std::to_string(classes_) + " classes: was it built for another bundle?");
    }
    const cudaStream_t stream = stream_.get();
    cudaError_t error = ::cudaMemcpyAsync(sent, input, input_bytes, cudaMemcpyHostToDevice, stream);
    const bool begun = error == cudaSuccess && context_->enqueueV3(stream);
    if (begun) error = ::cudaMemcpyAsync(output, made, output_bytes, cudaMemcpyDeviceToHost, stream);
    const cudaError_t ended = ::cudaStreamSynchronize(stream);  // whatever happened: the caller's memory is in use
    check(error, "does not copy");
    if (!begun) throw BackendError(title_ + " could not run the engine" + Log::take());
    check(ended, "failed at the run");
  }

  // Destroyed last: gives the thread that closes an engine its GPU back.
  struct Back {
    int device = -1;
    ~Back() {
      if (device >= 0) ::cudaSetDevice(device);
    }
  } back_;
  int device_ = current_device();
  std::string title_;
  Signature input_, output_;
  nvinfer1::DataType type_;
  std::size_t classes_, sample_bytes_ = 1, most_ = 1;
  mutable std::mutex mutex_;
  Stream stream_;
  std::unique_ptr<nvinfer1::IRuntime> runtime_;  // must live as long as its engine, as that as its context
  std::unique_ptr<nvinfer1::ICudaEngine> engine_;
  std::unique_ptr<nvinfer1::IExecutionContext> context_;
  mutable Buffer given_, found_;
};

}  // namespace

std::unique_ptr<Session> open_tensorrt(const Bytes& plan, const Manifest& manifest, bool bundled) {
  if (bundled) check_tied(*manifest.plan);
  return std::make_unique<TensorrtSession>(plan, manifest);
}

}  // namespace edgetune::detail
