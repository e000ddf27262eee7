#include "manifest.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "edgetune/edgetune.hpp"
#include "json.hpp"
#include "sha256.hpp"

namespace edgetune::detail {
namespace {

using Kind = Json::Kind;

constexpr const char* kName = "manifest.json";
constexpr const char* kOwnDigest = "manifest.sha256";  // bundles made before it was have none
constexpr std::uint64_t kMaxDigestBytes = 4096;
constexpr std::int64_t kVersion = 1;
constexpr std::uint64_t kMaxManifestBytes = 16 << 20;
constexpr std::int64_t kMaxPixels = 1 << 26;  // as in the Python runtime
constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 31;  // an ONNX file cannot be larger
constexpr const char* kUpdate = "; update the edgetune runtime";

// Reads one manifest; holds what every complaint names.
class Reader {
 public:
  Reader(const Json& root, std::string path) : root_(root), path_(std::move(path)) {}

  Manifest read() {
    check_schema();
    Manifest result;
    read_files(result);
    read_engine(result);
    result.labels = labels();
    if (result.output.shape.back() != static_cast<std::int64_t>(result.labels.size())) {
      fail("has " + std::to_string(result.labels.size()) + " labels for outputs of another size");
    }
    result.temperature = temperature();
    read_session(result);
    read_golden(result);
    return result;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw BundleError(path_ + ": " + what); }

  const Json& need(const Json& holder, const char* key, Kind kind, const char* named) const {
    const Json* found = holder.find(key);
    if (found == nullptr || !found->is(kind)) fail(quoted(key) + " is missing or not " + named);
    return *found;
  }

  static std::string quoted(const std::string& text) { return "'" + text + "'"; }

  void check_schema() const {
    static constexpr std::string_view kPrefix = "edgetune.bundle/";
    const Json* schema = root_.find("schema");
    const std::string text = schema != nullptr && schema->is(Kind::text) ? schema->text : "";
    const std::string number = text.substr(std::min(kPrefix.size(), text.size()));
    const bool right = text.compare(0, kPrefix.size(), kPrefix) == 0 && !number.empty() && number.size() <= 9 &&
                       number.find_first_not_of("0123456789") == std::string::npos && number[0] != '0';
    if (!right) throw BundleError(path_ + " is not the manifest of a bundle (schema " + quote_json(text) + ")");
    if (std::stoll(number) > kVersion) {
      throw BundleError("the bundle's schema is " + text + ", newer than this version reads" + kUpdate);
    }
  }

  void read_files(Manifest& result) const {
    const Json& files = need(root_, "files", Kind::object, "an object");
    for (std::size_t i = 0; i < files.keys.size(); ++i) {
      const std::string& name = files.keys[i];
      if (!is_safe_name(name) || name == kName) {
        fail("names a file that no bundle holds: " + quote_json(name) + ": refused");
      }
      const Json *size = files.items[i].find("size"), *digest = files.items[i].find("sha256");
      const bool right = size != nullptr && size->is(Kind::integer) && size->integer >= 0 && digest != nullptr &&
                         digest->is(Kind::text) && digest->text.size() == 64 &&
                         digest->text.find_first_not_of("0123456789abcdef") == std::string::npos;
      if (!right) fail("no size and sha256 of " + name);
      if (size->integer > kMaxFileBytes) fail(name + " is larger than 2 GiB: refused");
      result.files.push_back({name, digest->text, static_cast<std::uint64_t>(size->integer)});
    }
  }

  std::string listed(const Json& holder, const std::string& role, const Manifest& manifest) const {
    const Json* name = holder.find("file");
    const bool known = name != nullptr && name->is(Kind::text) &&
                       std::any_of(manifest.files.begin(), manifest.files.end(),
                                   [&](const FileFacts& facts) { return facts.name == name->text; });
    if (!known) fail("the " + role + "'s file is not among its files");
    return name->text;
  }

  void read_engine(Manifest& result) const {
    const Json& backend = need(root_, "backend", Kind::text, "a text");
    const Json& preprocessing = need(root_, "preprocessing", Kind::object, "an object");
    const Json* kind = preprocessing.find("kind");
    if (kind != nullptr && kind->is(Kind::text) && kind->text == "text") {
      throw BundleError("the bundle reads texts, which need its tokenizer: run it with the Python package "
                        "edgetune-runtime[text]; this runtime is for pictures");
    }
    result.tensorrt = backend.text == "tensorrt";
#ifndef EDGETUNE_HAS_TENSORRT
    if (result.tensorrt) {
      throw BundleError("the bundle is for tensorrt, which this library was built without: build it where TensorRT's "
                        "and CUDA's headers are (on a Jetson: apt install nvidia-jetpack), with -DEDGETUNE_TENSORRT=ON");
    }
#endif
    if (!result.tensorrt && backend.text != "onnxruntime") {
      throw BundleError("the bundle is for " + backend.text + ", which this version does not run");
    }
    result.engine_file = listed(need(root_, "engine", Kind::object, "an object"), "engine", result);
    result.preprocessing = picture_steps(preprocessing);
    result.input = signature("inputs", result.preprocessing.pixels ? "uint8" : "float32");
    result.output = signature("outputs", "float32");
    const Json& post = need(root_, "postprocessing", Kind::text, "a text");
    if (post.text != "softmax") fail("postprocessing " + quoted(post.text) + " is not known here" + kUpdate);
    const auto& shape = result.input.shape;
    const auto& steps = result.preprocessing;
    const std::vector<std::int64_t> sizes = steps.pixels ? std::vector{steps.height, steps.width, std::int64_t{3}}
                                                         : std::vector{std::int64_t{3}, steps.height, steps.width};
    if (shape.size() != 4 || !std::equal(sizes.begin(), sizes.end(), shape.begin() + 1)) {
      fail("the engine takes another size than the preprocessing gives");
    }
    if (result.output.shape.size() != 2) fail("the engine's outputs must have two dimensions");
  }

  Signature signature(const char* key, const std::string& type) const {
    const Json& list = need(root_, key, Kind::array, "a list");
    if (list.items.size() != 1 || !list.items[0].is(Kind::object)) {
      fail("an engine has one input and one output here; " + quoted(key) + " has another form");
    }
    const Json *name = list.items[0].find("name"), *shape = list.items[0].find("shape");
    const Json* dtype = list.items[0].find("dtype");
    const bool right = name != nullptr && name->is(Kind::text) && shape != nullptr && shape->is(Kind::array) &&
                       !shape->items.empty() && dtype != nullptr && dtype->is(Kind::text) && dtype->text == type;
    if (!right) fail(quoted(key) + " must give a name, a shape and the dtype " + type);
    Signature result{name->text, {}};
    for (const Json& size : shape->items) {
      if (!size.is(Kind::text) && !(size.is(Kind::integer) && size.integer > 0)) {
        fail(quoted(key) + " has a size that is neither a name nor a number above 0");
      }
      result.shape.push_back(size.is(Kind::text) ? -1 : size.integer);
    }
    return result;
  }

  PictureSteps picture_steps(const Json& found) const {
    static constexpr std::pair<const char*, const char*> kFixed[] = {
        {"kind", "image"}, {"color", "RGB"}, {"interpolation", "bilinear"}};
    for (const auto& [key, wanted] : kFixed) {
      const Json* value = found.find(key);
      if (value == nullptr || !value->is(Kind::text) || value->text != wanted) {
        fail(std::string("preprocessing ") + key + " is not " + wanted + ", which is all this version knows" + kUpdate);
      }
    }
    PictureSteps result;
    const Json* layout = found.find("layout");
    const std::string order = layout != nullptr && layout->is(Kind::text) ? layout->text : "";
    if (order != "NCHW" && order != "NHWC") {
      fail(std::string("preprocessing layout is neither NCHW nor NHWC, which is all this version knows") + kUpdate);
    }
    result.pixels = order == "NHWC";
    const Json& crop = need(found, "crop", Kind::array, "a list");
    if (crop.items.size() != 2 || !crop.items[0].is(Kind::integer) || !crop.items[1].is(Kind::integer)) {
      fail("preprocessing crop must be two whole numbers");
    }
    result.short_side = need(found, "resize_short_side", Kind::integer, "a whole number").integer;
    result.height = crop.items[0].integer;
    result.width = crop.items[1].integer;
    const auto [least, most] = std::minmax(result.height, result.width);
    if (least <= 0 || most > result.short_side || result.short_side > kMaxPixels || least > kMaxPixels / most) {
      fail("preprocessing crops " + crop.items[0].text + " x " + crop.items[1].text + " from a short side of " +
           std::to_string(result.short_side));
    }
    if (result.pixels) {
      for (const char* key : {"scale", "mean", "std"}) {
        if (found.find(key) != nullptr) {
          fail(std::string("preprocessing has ") + key + ", but the engine takes pixels" + kUpdate);
        }
      }
      return result;
    }
    const Json* scale = found.find("scale");
    if (scale == nullptr || !scale->is_number()) fail("preprocessing 'scale' is missing or not a number");
    result.scale = scale->real;
    result.mean = triple(found, "mean");
    result.std = triple(found, "std");
    if (std::count(result.std.begin(), result.std.end(), 0.0) != 0) fail("preprocessing std must not be 0");
    return result;
  }

  std::array<double, 3> triple(const Json& holder, const char* key) const {
    const Json& list = need(holder, key, Kind::array, "a list");
    if (list.items.size() != 3 ||
        !std::all_of(list.items.begin(), list.items.end(), [](const Json& item) { return item.is_number(); })) {
      fail(std::string("preprocessing ") + key + " must be three numbers");
    }
    return {list.items[0].real, list.items[1].real, list.items[2].real};
  }

  std::vector<std::string> labels() const {
    const Json& list = need(root_, "labels", Kind::array, "a list");
    std::vector<std::string> result;
    for (const Json& label : list.items) {
      if (!label.is(Kind::text)) fail("'labels' must be texts");
      result.push_back(label.text);
    }
    if (result.empty()) fail("'labels' must be texts");
    return result;
  }

  double temperature() const {
    const Json* found = root_.find("temperature");
    if (found == nullptr) return 1;
    if (!found->is_number() || !(found->real > 0) || !std::isfinite(1 / found->real)) {
      fail("temperature must be a number above 0");
    }
    return found->real;
  }

  void read_session(Manifest& result) const {
    const Json& session = need(root_, "session", Kind::object, "an object");
    if (const Json* threads = session.find("threads")) {
      if (!threads->is(Kind::integer) || threads->integer < 1 || threads->integer > kMaxThreads) {
        fail("session threads must be a number of 1 to 1024");
      }
      result.threads = static_cast<int>(threads->integer);
    }
    if (const Json* level = session.find("graph_optimization")) {
      static constexpr std::pair<const char*, int> kLevels[] = {
          {"disabled", 0}, {"basic", 1}, {"extended", 2}, {"all", 99}};
      const auto* known = std::find_if(std::begin(kLevels), std::end(kLevels),
                                       [&](const auto& pair) { return level->is(Kind::text) && level->text == pair.first; });
      if (known == std::end(kLevels)) {
        fail("session graph_optimization must be one of disabled, basic, extended, all");
      }
      result.graph_optimization = known->second;
    }
    if (const Json* provider = session.find("provider")) {
      if (!provider->is(Kind::text) || provider->text != "cpu") {
        fail("session provider is not cpu, which is all this runtime has; the Python package edgetune-runtime has others");
      }
    }
    result.arena = flag(session, "arena");
    result.memory_pattern = flag(session, "memory_pattern");
    if (result.tensorrt) read_tensorrt(session, result);
    const Json* config = session.find("config");
    if (config == nullptr) return;
    if (!config->is(Kind::object)) fail("session config must map names to values");
    for (std::size_t i = 0; i < config->keys.size(); ++i) {
      const Json& value = config->items[i];
      if (!value.is(Kind::text) && !value.is_number() && !value.is(Kind::boolean)) {
        fail("session config must map names to values");
      }
      const std::string boolean = value.boolean ? "True" : "False";  // as Python spells them
      result.session_config.emplace_back(config->keys[i], value.is(Kind::boolean) ? boolean : value.text);
    }
  }

  void read_tensorrt(const Json& session, Manifest& result) const {
    const Json& found = need(session, "tensorrt", Kind::object, "an object");
    if (const Json* core = found.find("dla_core"); core != nullptr && !core->is(Kind::null)) {
      if (!core->is(Kind::integer) || core->integer < 0 || core->integer > 7) fail("session.tensorrt.dla_core must be 0 to 7");
      result.dla_core = static_cast<int>(core->integer);
    }
    const Json* plan = found.find("plan");
    if (plan == nullptr || plan->is(Kind::null)) return;
    if (!plan->is(Kind::object)) fail("session.tensorrt.plan must be an object");
    const auto text = [&](const char* key) { return need(*plan, key, Kind::text, "a text").text; };
    result.plan = TensorrtPlan{listed(*plan, "plan", result), text("tensorrt"), text("sm"), text("gpu"), text("arch")};
  }

  // Of the session; true where it is not said.
  bool flag(const Json& session, const std::string& key) const {
    const Json* found = session.find(key);
    if (found == nullptr) return true;
    if (!found->is(Kind::boolean)) fail("session " + key + " must be true or false");
    return found->boolean;
  }

  void read_golden(Manifest& result) const {
    const Json* golden = root_.find("golden");
    if (golden == nullptr || golden->is(Kind::null)) return;
    if (!golden->is(Kind::object)) fail("'golden' is not an object");
    const Json* atol = golden->find("atol");
    const std::string file = listed(*golden, "golden", result);
    if (atol == nullptr || !atol->is_number() || atol->real < 0) fail("golden atol must be a number of 0 or more");
    result.golden = Golden{file, atol->real};
  }

  const Json& root_;
  std::string path_;
};

}  // namespace

const FileFacts& Manifest::facts(const std::string& name) const {
  return *std::find_if(files.begin(), files.end(), [&](const FileFacts& known) { return known.name == name; });
}

Manifest read_manifest(const Files& files, bool verify) {
  Bytes content;
  const std::string path = files.path() + "/" + kName;
  try {
    content = files.read(kName, kMaxManifestBytes);
  } catch (const BundleError& problem) {
    throw BundleError(files.path() + " has no readable " + kName + ": not a bundle (" + problem.what() + ")");
  }
  if (verify && files.has(kOwnDigest)) {
    const Bytes beside = files.read(kOwnDigest, kMaxDigestBytes);
    const auto length = static_cast<std::ptrdiff_t>(std::min<std::size_t>(64, beside.size()));
    const std::string wanted(beside.begin(), beside.begin() + length);
    if (wanted != sha256(content.data(), content.size())) {
      throw BundleError(path + " was altered: its sha256 is not that in " + kOwnDigest + "; copy the bundle again");
    }
  }
  try {
    const Json root = parse_json({reinterpret_cast<const char*>(content.data()), content.size()});
    return Reader(root, path).read();
  } catch (const BundleError& problem) {
    const std::string what = problem.what();
    if (what.rfind("not valid JSON", 0) != 0) throw;
    throw BundleError(path + " cannot be read: " + what + "; copy the bundle again");
  }
}

Bytes read_listed(const Files& files, const FileFacts& facts, bool verify) {
  Bytes content = files.read(facts.name, facts.size);
  if (content.size() != facts.size) {
    throw BundleError(facts.name + " has " + std::to_string(content.size()) + " bytes instead of " +
                      std::to_string(facts.size) + ": copy the bundle again");
  }
  if (verify && sha256(content.data(), content.size()) != facts.sha256) {
    throw BundleError(facts.name + " was altered: its sha256 is not the manifest's; copy the bundle again");
  }
  return content;
}

}  // namespace edgetune::detail
