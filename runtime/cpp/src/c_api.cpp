#include <exception>
#include <string>

#include "edgetune/edgetune.h"
#include "edgetune/edgetune.hpp"

struct edgetune_engine {
  edgetune::Engine engine;
};

namespace {

thread_local std::string last_error;

int remember(int code, const char* message) noexcept {
  try {
    last_error = message;
  } catch (...) {
    last_error.clear();
  }
  return code;
}

// Runs `body` and turns what it throws into a code and a message.
template <typename Body>
int guarded(Body body) noexcept {
  try {
    body();
    return EDGETUNE_OK;
  } catch (const edgetune::BundleError& problem) {
    return remember(EDGETUNE_BUNDLE_ERROR, problem.what());
  } catch (const edgetune::InputError& problem) {
    return remember(EDGETUNE_INPUT_ERROR, problem.what());
  } catch (const edgetune::BackendError& problem) {
    return remember(EDGETUNE_BACKEND_ERROR, problem.what());
  } catch (const std::exception& problem) {
    return remember(EDGETUNE_OTHER_ERROR, problem.what());
  } catch (...) {
    return remember(EDGETUNE_OTHER_ERROR, "an unknown error");
  }
}

void need(bool given, const char* what) {
  if (!given) throw edgetune::InputError(std::string(what) + " is a null pointer");
}

void need_room(std::size_t room, std::size_t count, std::size_t each) {
  if (count > room / each) {
    throw edgetune::InputError("there is room for " + std::to_string(room) + " values, " + std::to_string(count) +
                               " times " + std::to_string(each) + " are needed");
  }
}

template <typename T>
int preprocess(const edgetune_engine* engine, const edgetune::Image& image, T* values, std::size_t room) noexcept {
  return guarded([&] {
    need(engine != nullptr, "engine");
    need(values != nullptr, "values");
    need_room(room, 1, engine->engine.input_size());
    engine->engine.preprocess(image, values);
  });
}

template <typename T>
int run(const edgetune_engine* engine, const T* inputs, std::size_t count, float* logits, std::size_t room) noexcept {
  return guarded([&] {
    need(engine != nullptr, "engine");
    need_room(room, count, engine->engine.labels().size());
    engine->engine.run(inputs, count, logits);
  });
}

}  // namespace

const char* edgetune_last_error(void) { return last_error.c_str(); }

int edgetune_open(const char* bundle, const edgetune_options* options, edgetune_engine** engine) {
  return guarded([&] {
    need(engine != nullptr, "engine");
    *engine = nullptr;
    need(bundle != nullptr, "bundle");
    edgetune::Options wanted;
    if (options != nullptr) {
      wanted.onnxruntime = options->onnxruntime != nullptr ? options->onnxruntime : "";
      wanted.threads = options->threads;
      wanted.verify = options->no_verify == 0;
      wanted.self_test = options->no_self_test == 0;
      wanted.tensorrt_plan = options->tensorrt_plan != nullptr ? options->tensorrt_plan : "";
    }
    *engine = new edgetune_engine{edgetune::Engine::open(bundle, wanted)};
  });
}

void edgetune_close(edgetune_engine* engine) { delete engine; }

size_t edgetune_label_count(const edgetune_engine* engine) {
  return engine == nullptr ? 0 : engine->engine.labels().size();
}

const char* edgetune_label(const edgetune_engine* engine, size_t index) {
  return index < edgetune_label_count(engine) ? engine->engine.labels()[index].c_str() : nullptr;
}

size_t edgetune_input_height(const edgetune_engine* engine) {
  return engine == nullptr ? 0 : engine->engine.input_height();
}

size_t edgetune_input_width(const edgetune_engine* engine) {
  return engine == nullptr ? 0 : engine->engine.input_width();
}

int edgetune_takes_pixels(const edgetune_engine* engine) {
  return engine != nullptr && engine->engine.takes_pixels() ? 1 : 0;
}

int edgetune_preprocess(const edgetune_engine* engine, const uint8_t* pixels, size_t width, size_t height,
                        size_t stride, float* values, size_t room) {
  return preprocess(engine, {pixels, width, height, stride}, values, room);
}

int edgetune_preprocess_pixels(const edgetune_engine* engine, const uint8_t* pixels, size_t width, size_t height,
                               size_t stride, uint8_t* values, size_t room) {
  return preprocess(engine, {pixels, width, height, stride}, values, room);
}

int edgetune_run(const edgetune_engine* engine, const float* inputs, size_t count, float* logits, size_t room) {
  return run(engine, inputs, count, logits, room);
}

int edgetune_run_pixels(const edgetune_engine* engine, const uint8_t* inputs, size_t count, float* logits,
                        size_t room) {
  return run(engine, inputs, count, logits, room);
}

int edgetune_predict(const edgetune_engine* engine, const uint8_t* pixels, size_t width, size_t height, size_t stride,
                     edgetune_prediction* best, size_t* count) {
  return guarded([&] {
    need(engine != nullptr, "engine");
    need(best != nullptr, "best");
    need(count != nullptr, "count");
    const auto found = engine->engine.predict({pixels, width, height, stride}, *count);
    for (size_t i = 0; i < found.size(); ++i) {
      best[i] = {found[i].index, edgetune_label(engine, found[i].index), found[i].probability};
    }
    *count = found.size();
  });
}

int edgetune_self_test(const edgetune_engine* engine, double* difference) {
  return guarded([&] {
    need(engine != nullptr, "engine");
    const double found = engine->engine.self_test();
    if (difference != nullptr) *difference = found;
  });
}
