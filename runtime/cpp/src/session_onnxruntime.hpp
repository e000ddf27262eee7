// ONNX Runtime, loaded at run time, and an engine in it.
#pragma once

#include <string>

#include "manifest.hpp"
#include "ort_abi.hpp"
#include "session.hpp"

namespace edgetune::detail {

// ONNX Runtime in this process; loaded once for each path and never unloaded.
struct Library {
  const ort::Api* api = nullptr;
  ort::Env* env = nullptr;
  ort::MemoryInfo* memory = nullptr;  // the processor's
  std::string title;  // "ONNX Runtime 1.31.1"

  // Throws BackendError for a status that is an error, and releases it.
  void check(ort::Status* status, const char* what) const;
};

// `path` as in Options::onnxruntime. Throws BackendError: not found, no ONNX Runtime, or one that is unknown here.
const Library& load_library(const std::string& path);

// An engine on the processor. Throws BundleError: refused, or of another signature than the manifest's.
class OnnxruntimeSession final : public Session {
 public:
  OnnxruntimeSession(const Library& library, const Bytes& engine, const Manifest& manifest, int threads);
  ~OnnxruntimeSession() override;

  void run(const void* inputs, std::size_t count, float* outputs) const override;
  const std::string& library() const noexcept override { return library_.title; }

  ort::Session* raw() const noexcept { return session_; }
  const Signature& input() const noexcept { return input_; }
  const Signature& output() const noexcept { return output_; }

 private:
  void check_signature(const char* key, const Signature& declared, int type, bool of_inputs) const;

  const Library& library_;
  Signature input_, output_;
  std::size_t input_values_ = 1, output_values_ = 1;  // of one sample
  int input_type_;                                    // as ONNX Runtime numbers them
  ort::Session* session_ = nullptr;
};

}  // namespace edgetune::detail
