// Runs bundles made by edgetune: opens one, verifies it, preprocesses pictures, predicts.
//
//     edgetune::Engine engine = edgetune::Engine::open("bundles/x86-cpu");
//     for (const auto& best : engine.predict({pixels, width, height}, 3)) ...
//
// ONNX Runtime is loaded when the first engine is opened, and not linked; TensorRT is, where its headers were found when
// this library was built. POSIX systems, little-endian.
#ifndef EDGETUNE_EDGETUNE_HPP
#define EDGETUNE_EDGETUNE_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#if defined(__GNUC__)
#define EDGETUNE_EXPORT __attribute__((visibility("default")))
#else
#define EDGETUNE_EXPORT
#endif

namespace edgetune {

// Root of what this library throws, beside std::bad_alloc. The message says what is wrong and what to do.
class EDGETUNE_EXPORT Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The bundle is damaged, altered, unsafe, or of a kind or schema this version does not know.
class EDGETUNE_EXPORT BundleError : public Error {
 public:
  using Error::Error;
};

// The picture, array or option handed over does not fit the engine.
class EDGETUNE_EXPORT InputError : public Error {
 public:
  using Error::Error;
};

// ONNX Runtime or TensorRT cannot be loaded, or failed at a run.
class EDGETUNE_EXPORT BackendError : public Error {
 public:
  using Error::Error;
};

struct Options {
  std::string onnxruntime;  // path of libonnxruntime; empty: $EDGETUNE_ONNXRUNTIME, else the loader's own search
  int threads = 0;          // of one inference; 0: what the bundle was measured with
  bool verify = true;       // hold every file against its digest
  bool self_test = true;    // run the golden inputs, if the bundle has them, and compare
  std::string tensorrt_plan;  // of a bundle for TensorRT: an engine built on this device, instead of the bundle's own
};

// A decoded picture: rows of RGB bytes. The pixels stay the caller's.
struct Image {
  const std::uint8_t* pixels = nullptr;
  std::size_t width = 0;
  std::size_t height = 0;
  std::size_t stride = 0;  // bytes from one row to the next; 0: 3 * width
};

struct Prediction {
  std::size_t index = 0;
  std::string_view label;  // valid as long as the engine
  double probability = 0;
};

// A verified bundle with a session to run it. Const members may be called from several threads at once.
class EDGETUNE_EXPORT Engine {
 public:
  // Opens a bundle: a folder or a .tar. Throws BundleError, InputError (options), BackendError.
  static Engine open(const std::string& bundle, const Options& options = {});

  Engine(Engine&&) noexcept;  // the one that was moved from may be destroyed or assigned to, and nothing else
  Engine& operator=(Engine&&) noexcept;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  const std::vector<std::string>& labels() const noexcept;
  double temperature() const noexcept;
  std::size_t input_height() const noexcept;
  std::size_t input_width() const noexcept;
  std::size_t input_size() const noexcept;  // values of one preprocessed picture: 3 * height * width
  bool takes_pixels() const noexcept;       // the engine normalises: it takes uint8 [N, H, W, 3] instead of floats
  bool has_golden() const noexcept;
  const std::string& library() const noexcept;  // what runs it: "ONNX Runtime 1.31.1", "TensorRT 10.3.0"

  // Resizes the short side, crops the centre, normalises: float32 [3, H, W] into `values`, room for input_size().
  // Throws InputError for an empty picture, or one too long and thin.
  void preprocess(const Image& image, float* values) const;

  // The same for an engine that takes pixels: it ends with the crop, uint8 [H, W, 3].
  void preprocess(const Image& image, std::uint8_t* pixels) const;

  // Logits float32 [count, K] of preprocessed pictures float32 [count, 3, H, W]. Throws InputError, BackendError.
  // Of an engine that takes pixels: uint8 [count, H, W, 3]. The other kind of input is an InputError, here and below.
  void run(const float* inputs, std::size_t count, float* logits) const;
  void run(const std::uint8_t* pixels, std::size_t count, float* logits) const;

  // The `top` most probable labels, best first: softmax(logits / temperature). Throws what run throws.
  std::vector<Prediction> predict(const Image& image, std::size_t top = 5) const;
  std::vector<Prediction> predict(const float* input, std::size_t top = 5) const;
  std::vector<Prediction> predict(const std::uint8_t* pixels, std::size_t top = 5) const;
  std::vector<std::vector<Prediction>> predict(const std::vector<Image>& images, std::size_t top = 5) const;
  std::vector<std::vector<Prediction>> predict(const float* inputs, std::size_t count, std::size_t top) const;
  std::vector<std::vector<Prediction>> predict(const std::uint8_t* pixels, std::size_t count, std::size_t top) const;

  // Runs the bundle's golden inputs; returns the largest difference of an output. Throws BundleError when a golden
  // sample gets another label than on the desk or differs by more than the bundle allows, or when there are none.
  double self_test() const;

 private:
  struct State;
  explicit Engine(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

}  // namespace edgetune

#endif
