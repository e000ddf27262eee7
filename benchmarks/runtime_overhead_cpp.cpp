// Times of one engine, bare and through edgetune::Engine, interleaved: see runtime_overhead_cpp.py, which compiles this.
//
//     runtime_overhead_cpp BUNDLE LOADS ROUNDS RUNS > raw.json
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "edgetune/edgetune.hpp"
#include "session_onnxruntime.hpp"

using namespace edgetune::detail;

namespace {

using Times = std::vector<double>;

template <typename Call>
void time_runs(int runs, Times& times, Call call) {
  for (int i = 0; i < runs; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    call();
    const std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - begin;
    times.push_back(passed.count());
  }
}

void print(const char* name, const Times& times, const char* end) {
  std::printf("\"%s\": [", name);
  for (std::size_t i = 0; i < times.size(); ++i) std::printf("%s%.6f", i == 0 ? "" : ", ", times[i]);
  std::printf("]%s", end);
}

}  // namespace

int main(int count, char** words) try {
  if (count != 5) throw edgetune::InputError("usage: runtime_overhead_cpp BUNDLE LOADS ROUNDS RUNS");
  const int loads = std::atoi(words[2]), rounds = std::atoi(words[3]), runs = std::atoi(words[4]);
  const Files files(words[1]);
  const Manifest manifest = read_manifest(files);
  const Bytes bytes = read_listed(files, manifest.facts(manifest.engine_file), true);
  std::mt19937 random(0);
  Times bare, predict, preprocess;
  for (int load = 0; load < loads; ++load) {
    edgetune::Options options;
    options.threads = 1;
    options.self_test = false;
    const edgetune::Engine engine = edgetune::Engine::open(words[1], options);
    const Library& library = load_library("");
    const OnnxruntimeSession session(library, bytes, manifest, 1);

    std::vector<float> input(engine.input_size()), logits(engine.labels().size());
    std::normal_distribution<float> normal;
    for (float& value : input) value = normal(random);
    std::vector<std::uint8_t> pixels(3 * 320 * 240);
    for (std::uint8_t& value : pixels) value = static_cast<std::uint8_t>(random());
    const edgetune::Image picture{pixels.data(), 320, 240, 0};

    // The least that a program which calls ONNX Runtime itself can do: tensors made once, one call.
    const std::int64_t input_shape[] = {1, 3, manifest.input.shape[2], manifest.input.shape[3]};
    const std::int64_t output_shape[] = {1, static_cast<std::int64_t>(logits.size())};
    ort::Value *given = nullptr, *result = nullptr;
    library.check(library.api->create_tensor(library.memory, input.data(), input.size() * sizeof(float), input_shape, 4,
                                             ort::kFloat, &given), "refuses the input");
    library.check(library.api->create_tensor(library.memory, logits.data(), logits.size() * sizeof(float), output_shape,
                                             2, ort::kFloat, &result), "refuses the output");
    const char *input_name = manifest.input.name.c_str(), *output_name = manifest.output.name.c_str();
    const auto run_bare = [&] {
      library.check(library.api->run(session.raw(), nullptr, &input_name, &given, 1, &output_name, 1, &result), "failed");
    };
    double sum = 0;
    const auto run_predict = [&] { sum += engine.predict(input.data(), 5)[0].probability; };
    std::vector<float> values(engine.input_size());

    Times warm_up;
    time_runs(200, warm_up, run_bare);
    time_runs(200, warm_up, run_predict);
    for (int round = 0; round < rounds; ++round) {
      const bool first = (random() & 1) != 0;
      if (first) time_runs(runs, bare, run_bare);
      time_runs(runs, predict, run_predict);
      if (!first) time_runs(runs, bare, run_bare);
    }
    time_runs(rounds, preprocess, [&] { engine.preprocess(picture, values.data()); });
    library.api->release_value(given);
    library.api->release_value(result);
    if (!(sum > 0)) throw edgetune::BackendError("no probabilities");
  }
  std::printf("{\"onnxruntime\": \"%s\", ", load_library("").version.c_str());
  print("run", bare, ", ");
  print("predict", predict, ", ");
  print("preprocess", preprocess, "}\n");
} catch (const std::exception& problem) {
  std::fprintf(stderr, "error: %s\n", problem.what());
  return 1;
}
