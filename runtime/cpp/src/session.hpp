// An engine that runs, whatever library runs it.
#pragma once

#include <cstddef>
#include <string>

namespace edgetune::detail {

class Session {
 public:
  Session() = default;
  virtual ~Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // float32 [count, 3, H, W], or uint8 [count, H, W, 3] of an engine that takes pixels -> float32 [count, K], straight
  // into `outputs`. May be called from several threads at once. Throws BackendError.
  virtual void run(const void* inputs, std::size_t count, float* outputs) const = 0;

  // What runs it: "ONNX Runtime 1.31.1".
  virtual const std::string& library() const noexcept = 0;
};

}  // namespace edgetune::detail
