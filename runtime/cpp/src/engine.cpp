#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>
#include <utility>

#include "edgetune/edgetune.hpp"
#include "external_data.hpp"
#include "npz.hpp"
#include "picture.hpp"
#include "session_onnxruntime.hpp"
#ifdef EDGETUNE_HAS_TENSORRT
#include "session_tensorrt.hpp"
#endif

namespace edgetune {

using detail::Array;
using detail::Bytes;

namespace {

constexpr bool is_pixels(const float*) { return false; }
constexpr bool is_pixels(const std::uint8_t*) { return true; }

// The file of the bundle that runs; empty: Options::tensorrt_plan does.
std::string what_runs(const detail::Manifest& manifest, const Options& options) {
  if (!options.tensorrt_plan.empty()) {
    if (!manifest.tensorrt) throw InputError("an engine of TensorRT was given, and the bundle is not for TensorRT: leave it out");
    return "";
  }
  if (!manifest.tensorrt) return manifest.engine_file;
  if (!manifest.plan) {
    throw BundleError("the bundle brings no engine of TensorRT, only " + manifest.engine_file + " to build one from: "
                      "build it on this device by trtexec, as the README of the project that edgetune wrote for the "
                      "bundle says, and name it (Options::tensorrt_plan, --tensorrt-plan)");
  }
  return manifest.plan->file;
}

}  // namespace

struct Engine::State {
  State(detail::Files where, detail::Manifest what, Bytes bytes, const Options& options)
      : files(std::move(where)),
        manifest(std::move(what)),
        verify(options.verify),
        preprocessing(manifest.preprocessing),
        engine(std::move(bytes)),
        session(open_session(options)) {
    if (!lends_bytes()) Bytes().swap(engine);
  }

  std::unique_ptr<detail::Session> open_session(const Options& options) const;

  // Whether the manifest has ONNX Runtime read the engine's bytes where they are, as long as the session lives.
  bool lends_bytes() const {
    const auto& config = manifest.session_config;
    return std::any_of(config.begin(), config.end(),
                       [](const auto& entry) { return entry.first.find("model_bytes") != std::string::npos; });
  }

  detail::Files files;
  detail::Manifest manifest;
  bool verify;
  detail::Preprocessing preprocessing;
  Bytes engine;  // empty once the session is made, but for lends_bytes
  std::unique_ptr<detail::Session> session;

  std::size_t input_size() const noexcept { return 3 * preprocessing.height() * preprocessing.width(); }
  bool takes_pixels() const noexcept { return manifest.preprocessing.pixels; }

  // T is float, or std::uint8_t for an engine that takes pixels; the other of the two is an InputError.
  template <typename T>
  void need() const;
  template <typename T>
  void run(const T* inputs, std::size_t count, float* logits) const;
  template <typename T>
  std::vector<std::vector<Prediction>> predict(const T* inputs, std::size_t count, std::size_t top) const;
  template <typename T>
  double self_test() const;
  template <typename T>
  void preprocess(const Image& image, T* values) const;

  std::vector<Prediction> best(const float* logits, std::size_t top) const;
};

std::unique_ptr<detail::Session> Engine::State::open_session(const Options& options) const {
#ifdef EDGETUNE_HAS_TENSORRT
  if (manifest.tensorrt) return detail::open_tensorrt(engine, manifest, options.tensorrt_plan.empty());
#endif
  const detail::Library& library = detail::load_library(options.onnxruntime);
  const int threads = options.threads != 0 ? options.threads : manifest.threads;
  return std::make_unique<detail::OnnxruntimeSession>(library, engine, manifest, threads);
}

template <typename T>
void Engine::State::need() const {
  if (is_pixels(static_cast<const T*>(nullptr)) == takes_pixels()) return;
  throw InputError(takes_pixels() ? "the engine takes pixels, uint8 [N, H, W, 3], and normalises them itself; floats were given"
                                  : "the engine takes normalised float32 [N, 3, H, W]; pixels were given: preprocess them");
}

// The largest of softmax(logits / T); the largest logit is subtracted, so that nothing overflows.
std::vector<Prediction> Engine::State::best(const float* logits, std::size_t top) const {
  const std::size_t classes = manifest.labels.size(), count = std::min(top, classes);
  float highest = logits[0];
  for (std::size_t i = 0; i < classes; ++i) {
    if (!std::isfinite(logits[i])) {
      throw BackendError("the engine computed an output that is no finite number");
    }
    highest = std::max(highest, logits[i]);
  }
  const double sharpness = 1.0 / manifest.temperature;
  const auto weight = [&](std::size_t i) { return std::exp((double{logits[i]} - double{highest}) * sharpness); };
  double total = 0;
  for (std::size_t i = 0; i < classes; ++i) total += weight(i);
  std::vector<std::size_t> order(classes);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
                    [&](std::size_t a, std::size_t b) {  // of equal ones the first comes first
                      return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
                    });
  std::vector<Prediction> result(count);
  for (std::size_t i = 0; i < count; ++i) {
    result[i] = {order[i], manifest.labels[order[i]], weight(order[i]) / total};
  }
  return result;
}

Engine::Engine(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

Engine Engine::open(const std::string& bundle, const Options& options) {
  if (options.threads < 0 || options.threads > detail::kMaxThreads) {
    throw InputError("threads is " + std::to_string(options.threads) + ", it must be 1 to 1024, or 0 for the bundle's");
  }
  detail::Files files(bundle);
  detail::Manifest manifest = detail::read_manifest(files, options.verify);
  const std::string engine_file = what_runs(manifest, options);
  Bytes engine_bytes;  // what was verified is what runs: the file is read once
  for (const detail::FileFacts& facts : manifest.files) {
    if (facts.name == engine_file) {
      engine_bytes = detail::read_listed(files, facts, options.verify);
    } else if (options.verify) {
      detail::read_listed(files, facts, true);
    }
  }
  if (!options.tensorrt_plan.empty()) {
    engine_bytes = detail::read_file(options.tensorrt_plan);
  } else if (!manifest.tensorrt) {
    if (const std::string other = detail::external_name(engine_bytes); !other.empty()) {
      throw BundleError("the engine keeps weights in another file, " + other + ", which no bundle's does: refused");
    }
  }
  Engine engine(std::make_unique<State>(std::move(files), std::move(manifest), std::move(engine_bytes), options));
  if (options.self_test && engine.has_golden()) engine.self_test();
  return engine;
}

const std::vector<std::string>& Engine::labels() const noexcept { return state_->manifest.labels; }
double Engine::temperature() const noexcept { return state_->manifest.temperature; }
std::size_t Engine::input_height() const noexcept { return state_->preprocessing.height(); }
std::size_t Engine::input_width() const noexcept { return state_->preprocessing.width(); }
std::size_t Engine::input_size() const noexcept { return 3 * input_height() * input_width(); }
bool Engine::has_golden() const noexcept { return state_->manifest.golden.has_value(); }
const std::string& Engine::library() const noexcept { return state_->session->library(); }

bool Engine::takes_pixels() const noexcept { return state_->takes_pixels(); }

template <>
void Engine::State::preprocess(const Image& image, float* values) const {
  need<float>();
  preprocessing(image, values);
}

template <>
void Engine::State::preprocess(const Image& image, std::uint8_t* values) const {
  need<std::uint8_t>();
  const std::vector<std::uint8_t> found = preprocessing.pixels(image);
  std::copy(found.begin(), found.end(), values);
}

template <typename T>
void Engine::State::run(const T* inputs, std::size_t count, float* logits) const {
  need<T>();
  if (inputs == nullptr || logits == nullptr || count == 0) throw InputError("the batch is empty");
  const std::int64_t fixed = manifest.input.shape[0];
  if (fixed == 1) {  // an engine of one sample takes them one by one
    for (std::size_t i = 0; i < count; ++i) {
      session->run(inputs + i * input_size(), 1, logits + i * manifest.labels.size());
    }
    return;
  }
  if (fixed > 0 && static_cast<std::uint64_t>(fixed) != count) {
    throw InputError("the engine takes " + std::to_string(fixed) + " pictures at once, not " + std::to_string(count));
  }
  session->run(inputs, count, logits);
}

template <typename T>
std::vector<std::vector<Prediction>> Engine::State::predict(const T* inputs, std::size_t count, std::size_t top) const {
  if (top == 0) throw InputError("top is 0, it must be 1 or more");
  const std::size_t classes = manifest.labels.size();
  std::vector<float> logits(count * classes);
  run(inputs, count, logits.data());
  std::vector<std::vector<Prediction>> result;
  for (std::size_t i = 0; i < count; ++i) result.push_back(best(logits.data() + i * classes, top));
  return result;
}

void Engine::preprocess(const Image& image, float* values) const { state_->preprocess(image, values); }
void Engine::preprocess(const Image& image, std::uint8_t* pixels) const { state_->preprocess(image, pixels); }

void Engine::run(const float* inputs, std::size_t count, float* logits) const { state_->run(inputs, count, logits); }
void Engine::run(const std::uint8_t* pixels, std::size_t count, float* logits) const {
  state_->run(pixels, count, logits);
}

std::vector<Prediction> Engine::predict(const Image& image, std::size_t top) const {
  return std::move(predict(std::vector<Image>{image}, top)[0]);
}

std::vector<Prediction> Engine::predict(const float* input, std::size_t top) const {
  return std::move(state_->predict(input, 1, top)[0]);
}

std::vector<Prediction> Engine::predict(const std::uint8_t* pixels, std::size_t top) const {
  return std::move(state_->predict(pixels, 1, top)[0]);
}

std::vector<std::vector<Prediction>> Engine::predict(const std::vector<Image>& images, std::size_t top) const {
  const auto predicted = [&](auto values) {
    values.resize(images.size() * input_size());
    for (std::size_t i = 0; i < images.size(); ++i) preprocess(images[i], values.data() + i * input_size());
    return state_->predict(values.data(), images.size(), top);
  };
  return takes_pixels() ? predicted(std::vector<std::uint8_t>()) : predicted(std::vector<float>());
}

std::vector<std::vector<Prediction>> Engine::predict(const float* inputs, std::size_t count, std::size_t top) const {
  return state_->predict(inputs, count, top);
}

std::vector<std::vector<Prediction>> Engine::predict(const std::uint8_t* pixels, std::size_t count,
                                                     std::size_t top) const {
  return state_->predict(pixels, count, top);
}

double Engine::self_test() const {
  if (!has_golden()) throw BundleError("the bundle has no golden samples to test itself with");
  return takes_pixels() ? state_->self_test<std::uint8_t>() : state_->self_test<float>();
}

template <typename T>
double Engine::State::self_test() const {
  const detail::Golden& golden = *manifest.golden;
  const std::size_t classes = manifest.labels.size(), height = preprocessing.height(), width = preprocessing.width();
  const Bytes archive = detail::read_listed(files, manifest.facts(golden.file), verify);
  const Array<T> inputs = detail::read_npz<T>(archive, "inputs");
  const Array<float> expected = detail::read_npz<float>(archive, "outputs");
  const std::size_t count = inputs.shape.empty() ? 0 : inputs.shape[0];
  const std::vector<std::size_t> shape = takes_pixels() ? std::vector<std::size_t>{count, height, width, 3}
                                                        : std::vector<std::size_t>{count, 3, height, width};
  if (count == 0 || inputs.shape != shape ||
      expected.shape != std::vector<std::size_t>{count, classes}) {
    throw BundleError("the golden samples do not fit the engine");
  }
  if (manifest.input.shape[0] > 1) {
    throw BundleError("the engine takes " + std::to_string(manifest.input.shape[0]) +
                      " pictures at once, and golden samples are run one by one: build it for one picture or any number, "
                      "or open it without the self-test");
  }
  std::vector<float> actual(classes);
  std::size_t other_labels = 0;
  double largest = 0;
  bool within = true;
  for (std::size_t i = 0; i < count; ++i) {
    run(inputs.values.data() + i * input_size(), 1, actual.data());
    const float* wanted = expected.values.data() + i * classes;
    for (std::size_t k = 0; k < classes; ++k) {
      const double difference = std::fabs(double{actual[k]} - double{wanted[k]});
      within = within && difference <= golden.atol;  // not for NaN
      largest = difference > largest ? difference : largest;
    }
    const auto best = std::max_element(actual.begin(), actual.end()) - actual.begin();
    other_labels += best != std::max_element(wanted, wanted + classes) - wanted;
  }
  if (other_labels != 0 || !within) {
    std::ostringstream text;
    text << "self-test failed: " << other_labels << " of " << count
         << " golden samples get another label than on the desk, outputs differ by up to " << largest << " (allowed: "
         << golden.atol << "). This device computes the engine differently; build it for this target.";
    throw BundleError(text.str());
  }
  return largest;
}

}  // namespace edgetune
