// A bundle's manifest.json, checked for its form.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "files.hpp"

namespace edgetune::detail {

constexpr int kMaxThreads = 1024;

struct Signature {
  std::string name;
  std::vector<std::int64_t> shape;  // -1: any size
};

struct PictureSteps {
  std::int64_t short_side = 0, height = 0, width = 0;
  bool pixels = false;  // the engine takes uint8 [N, H, W, 3] and normalises itself; what follows is not used then
  double scale = 0;
  std::array<double, 3> mean{}, std{};
};

struct Golden {
  std::string file;
  double atol = 0;
};

struct FileFacts {
  std::string name, sha256;
  std::uint64_t size = 0;
};

// An engine of TensorRT in the bundle, and what it is tied to; "unknown" where that could not be told.
struct TensorrtPlan {
  std::string file, version, sm, gpu, arch;
};

struct Manifest {
  bool tensorrt = false;  // else for ONNX Runtime
  std::string engine_file;
  Signature input, output;
  PictureSteps preprocessing;
  std::vector<std::string> labels;
  double temperature = 1;
  int threads = 1;
  int graph_optimization = 99;  // as ONNX Runtime numbers its levels
  bool arena = true, memory_pattern = true;  // how ONNX Runtime keeps memory between runs
  std::vector<std::pair<std::string, std::string>> session_config;
  std::optional<TensorrtPlan> plan;
  int dla_core = -1;  // -1: the GPU
  std::optional<Golden> golden;
  std::vector<FileFacts> files;

  // Of a file that a checked manifest lists.
  const FileFacts& facts(const std::string& name) const;
};

// The manifest of a bundle. Throws BundleError: malformed, of another or a newer schema, incomplete, naming files
// outside the bundle, for another backend, or for texts.
// With `verify` its bytes are held against manifest.sha256, where that is there.
Manifest read_manifest(const Files& files, bool verify);

// A listed file's bytes, held against their size and, with `verify`, their digest. Throws BundleError.
Bytes read_listed(const Files& files, const FileFacts& facts, bool verify);

}  // namespace edgetune::detail
