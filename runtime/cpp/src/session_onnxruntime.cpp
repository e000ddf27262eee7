#include "session_onnxruntime.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "edgetune/edgetune.hpp"

namespace edgetune::detail {
namespace {

#if defined(__APPLE__)
constexpr const char* kNames[] = {"libonnxruntime.1.dylib", "libonnxruntime.dylib"};
#else
constexpr const char* kNames[] = {"libonnxruntime.so.1", "libonnxruntime.so"};
#endif
constexpr const char* kHint =
    "; name libonnxruntime with EDGETUNE_ONNXRUNTIME or the option (pip's lies in onnxruntime/capi)";

// What must be given back to ONNX Runtime, whatever happens.
template <typename T>
class Owned {
 public:
  explicit Owned(void (*release)(T*)) : release_(release) {}
  ~Owned() {
    if (value_ != nullptr) release_(value_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;

  T* get() const noexcept { return value_; }
  T** place() noexcept { return &value_; }

 private:
  void (*release_)(T*);
  T* value_ = nullptr;
};

void* open_library(const std::string& path) {
  if (!path.empty()) {
    if (void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    const char* why = ::dlerror();
    throw BackendError("ONNX Runtime cannot be loaded: " + std::string(why != nullptr ? why : path) + kHint);
  }
  for (const char* name : kNames) {
    if (void* handle = ::dlopen(name, RTLD_NOW | RTLD_LOCAL)) return handle;
  }
  throw BackendError("ONNX Runtime was not found" + std::string(kHint));
}

// The table's beginning must do what it should before anything else of it is called.
void try_table(const ort::Api& api, const std::string& title) {
  static constexpr const char* kMessage = "edgetune";
  ort::Status* status = api.create_status(ort::kFail, kMessage);
  const bool right = status != nullptr && api.error_code(status) == ort::kFail &&
                     std::strcmp(api.error_message(status), kMessage) == 0;
  if (!right) throw BackendError(title + " has another interface than is known here");
  api.release_status(status);
}

Library open(const std::string& path) {
  ::setenv("ORT_DISABLE_TELEMETRY", "1", 0);  // before it is loaded: it sends telemetry by default on some systems
  void* handle = open_library(path);
  void* symbol = ::dlsym(handle, "OrtGetApiBase");
  if (symbol == nullptr) throw BackendError(path + " is no ONNX Runtime: it has no OrtGetApiBase" + kHint);
  const ort::ApiBase* (*get_base)() = nullptr;
  std::memcpy(&get_base, &symbol, sizeof symbol);
  const ort::ApiBase* base = get_base();
  Library result;
  const std::string version = base->version();
  result.title = "ONNX Runtime " + version;
  if (version.compare(0, 2, "1.") != 0 || (result.api = base->get_api(ort::kApiVersion)) == nullptr) {
    throw BackendError(result.title + " has another interface than is known here (1.5 or newer)");
  }
  try_table(*result.api, result.title);
  result.check(result.api->create_env(ort::kLogError, "edgetune", &result.env), "cannot start");
  result.check(result.api->disable_telemetry(result.env), "cannot start");
  result.check(result.api->create_cpu_memory_info(ort::kDeviceAllocator, ort::kDefaultMemory, &result.memory),
               "cannot start");
  return result;
}

}  // namespace

void Library::check(ort::Status* status, const char* what) const {
  if (status == nullptr) return;
  const std::string message = api->error_message(status);
  api->release_status(status);
  throw BackendError(title + " " + what + ": " + message);
}

const Library& load_library(const std::string& path) {
  static std::mutex mutex;
  static auto* loaded = new std::map<std::string, Library>;  // never destroyed: sessions may outlive static objects
  const char* fallback = std::getenv("EDGETUNE_ONNXRUNTIME");
  const std::string name = !path.empty() ? path : fallback != nullptr ? fallback : "";
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = loaded->find(name);
  return found != loaded->end() ? found->second : loaded->emplace(name, open(name)).first->second;
}

OnnxruntimeSession::OnnxruntimeSession(const Library& library, const Bytes& engine, const Manifest& manifest, int threads)
    : library_(library),
      input_(manifest.input),
      output_(manifest.output),
      input_type_(manifest.preprocessing.pixels ? ort::kUint8 : ort::kFloat) {
  for (std::size_t i = 1; i < input_.shape.size(); ++i) input_values_ *= static_cast<std::size_t>(input_.shape[i]);
  output_values_ = manifest.labels.size();
  const ort::Api& api = *library.api;
  Owned<ort::SessionOptions> options(api.release_session_options);
  try {
    library.check(api.create_session_options(options.place()), "has no session");
    library.check(api.set_intra_op_threads(options.get(), threads), "refuses the threads");
    library.check(api.set_inter_op_threads(options.get(), 1), "refuses the threads");
    library.check(api.set_graph_optimization(options.get(), manifest.graph_optimization), "refuses the optimization");
    library.check(api.set_log_level(options.get(), ort::kLogError), "refuses the log level");
    if (!manifest.arena) library.check(api.disable_arena(options.get()), "refuses to do without an arena");
    if (!manifest.memory_pattern) {
      library.check(api.disable_memory_pattern(options.get()), "refuses to do without memory patterns");
    }
    for (const auto& [key, value] : manifest.session_config) {
      library.check(api.add_session_config(options.get(), key.c_str(), value.c_str()), "refuses the session's config");
    }
    library.check(
        api.create_session_from_array(library.env, engine.data(), engine.size(), options.get(), &session_),
        "refuses the engine");
    check_signature("inputs", input_, input_type_, true);
    check_signature("outputs", output_, ort::kFloat, false);
  } catch (const Error& problem) {
    if (session_ != nullptr) api.release_session(session_);
    throw BundleError(problem.what());
  }
}

OnnxruntimeSession::~OnnxruntimeSession() { library_.api->release_session(session_); }

void OnnxruntimeSession::check_signature(const char* key, const Signature& declared, int type, bool of_inputs) const {
  const ort::Api& api = *library_.api;
  std::size_t count = 0, dimensions = 0;
  library_.check((of_inputs ? api.input_count : api.output_count)(session_, &count), "does not tell the signature");
  if (count != 1) {
    throw BundleError("the engine has " + std::to_string(count) + " " + key + ", the manifest says one");
  }
  ort::Allocator* allocator = nullptr;
  char* name = nullptr;
  library_.check(api.default_allocator(&allocator), "does not tell the signature");
  library_.check((of_inputs ? api.input_name : api.output_name)(session_, 0, allocator, &name),
                 "does not tell the signature");
  const std::string found = name;
  library_.check(api.allocator_free(allocator, name), "does not tell the signature");

  Owned<ort::TypeInfo> info(api.release_type_info);
  const ort::TensorInfo* tensor = nullptr;
  library_.check((of_inputs ? api.input_type : api.output_type)(session_, 0, info.place()),
                 "does not tell the signature");
  library_.check(api.tensor_info(info.get(), &tensor), "does not tell the signature");
  int element = 0;
  std::vector<std::int64_t> shape;
  if (tensor != nullptr) {
    library_.check(api.element_type(tensor, &element), "does not tell the signature");
    library_.check(api.dimension_count(tensor, &dimensions), "does not tell the signature");
    shape.resize(dimensions);
    library_.check(api.dimensions(tensor, shape.data(), dimensions), "does not tell the signature");
  }
  bool fits = found == declared.name && element == type && (shape.empty() || shape.size() == declared.shape.size());
  for (std::size_t i = 0; fits && i < shape.size(); ++i) {
    fits = shape[i] < 0 || declared.shape[i] < 0 || shape[i] == declared.shape[i];
  }
  if (!fits) {
    std::string sizes;
    for (const std::int64_t size : shape) sizes += (sizes.empty() ? "" : ", ") + std::to_string(size);
    throw BundleError("the engine's " + std::string(key) + " are " + found + " [" + sizes +
                      "], the manifest says otherwise");
  }
}

void OnnxruntimeSession::run(const void* inputs, std::size_t count, float* outputs) const {
  const ort::Api& api = *library_.api;
  std::int64_t input_shape[] = {static_cast<std::int64_t>(count), input_.shape[1], input_.shape[2], input_.shape[3]};
  const std::int64_t output_shape[] = {input_shape[0], static_cast<std::int64_t>(output_values_)};
  const std::size_t bytes = count * input_values_ * (input_type_ == ort::kUint8 ? 1 : sizeof(float));
  Owned<ort::Value> input(api.release_value), output(api.release_value);
  library_.check(api.create_tensor(library_.memory, const_cast<void*>(inputs),  // ONNX Runtime does not write there
                                   bytes, input_shape, 4, input_type_, input.place()),
                 "refuses the input");
  library_.check(api.create_tensor(library_.memory, outputs, count * output_values_ * sizeof(float), output_shape, 2,
                                   ort::kFloat, output.place()),
                 "refuses the output");
  const char *input_name = input_.name.c_str(), *output_name = output_.name.c_str();
  const ort::Value* given = input.get();
  library_.check(api.run(session_, nullptr, &input_name, &given, 1, &output_name, 1, output.place()),
                 "failed at the run");
}

}  // namespace edgetune::detail
