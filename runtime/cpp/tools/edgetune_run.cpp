// edgetune-run-cpp BUNDLE [--self-test] [IMAGE...]: what it is, on this device.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "../src/json.hpp"
#include "edgetune/edgetune.hpp"

namespace {

using edgetune::InputError;

constexpr const char* kUsage =
    "usage: edgetune-run-cpp BUNDLE [--self-test] [--top N] [--threads N] [--json] [--raw WxH]\n"
    "                        [--onnxruntime PATH] [--tensorrt-plan PATH] [IMAGE...]\n"
    "  BUNDLE         folder or .tar\n"
    "  IMAGE          .ppm or .pgm (binary, 8 bits); with --raw: WxH pixels of RGB bytes\n"
    "  --self-test    run the golden inputs and say by how much the outputs differ\n"
    "  --onnxruntime  libonnxruntime (default: $EDGETUNE_ONNXRUNTIME, else the loader's own search)\n"
    "  --tensorrt-plan  of a bundle for TensorRT: an engine built on this device, instead of the bundle's own\n"
    "example: edgetune-run-cpp bundles/x86-cpu photo.ppm\n";

// Wrong usage: the message, the usage, exit code 2.
struct UsageError {
  std::string message;
};

struct Arguments {
  std::string bundle;
  std::vector<std::string> images;
  edgetune::Options options;
  std::size_t top = 5, raw_width = 0, raw_height = 0;
  bool self_test = false, json = false, help = false;
};

struct Picture {
  std::size_t width = 0, height = 0;
  std::vector<std::uint8_t> pixels;
};

constexpr std::size_t kMaxSide = 1 << 26;

std::size_t positive(const std::string& text, std::size_t limit) {
  std::size_t value = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9' || value > limit) throw UsageError{"'" + text + "' must be a number of 1 or more"};
    value = value * 10 + static_cast<std::size_t>(digit - '0');
  }
  if (value == 0 || value > limit) throw UsageError{"'" + text + "' must be a number of 1 to " + std::to_string(limit)};
  return value;
}

Arguments parse(int count, char** words) {
  Arguments result;
  std::vector<std::string> names;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const auto value = [&]() -> std::string {
      if (i + 1 == count) throw UsageError{word + " needs a value"};
      return words[++i];
    };
    if (word == "--self-test") {
      result.self_test = true;
    } else if (word == "--json") {
      result.json = true;
    } else if (word == "--help" || word == "-h") {
      result.help = true;
    } else if (word == "--top") {
      result.top = positive(value(), 1 << 30);
    } else if (word == "--threads") {
      result.options.threads = static_cast<int>(positive(value(), 1024));
    } else if (word == "--onnxruntime") {
      result.options.onnxruntime = value();
    } else if (word == "--tensorrt-plan") {
      result.options.tensorrt_plan = value();
      if (result.options.tensorrt_plan.empty()) throw UsageError{"--tensorrt-plan needs a file"};
    } else if (word == "--raw") {
      const std::string size = value();
      const std::size_t cross = size.find('x');
      if (cross == std::string::npos) throw UsageError{"--raw needs WIDTHxHEIGHT, such as 320x240"};
      result.raw_width = positive(size.substr(0, cross), kMaxSide);
      result.raw_height = positive(size.substr(cross + 1), kMaxSide);
    } else if (word.size() > 1 && word[0] == '-') {
      throw UsageError{"unknown option " + word};
    } else {
      names.push_back(word);
    }
  }
  if (result.help) return result;
  if (names.empty()) throw UsageError{"no bundle"};
  result.bundle = names[0];
  result.images.assign(names.begin() + 1, names.end());
  if (result.images.empty() && !result.self_test) throw UsageError{"no image, and no --self-test"};
  return result;
}

std::vector<std::uint8_t> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputError("there is no file " + path);
  std::vector<std::uint8_t> content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) throw InputError(path + " cannot be read");
  return content;
}

// Reads a netpbm header: numbers between white space and comments.
class Header {
 public:
  Header(const std::vector<std::uint8_t>& content, const std::string& path) : content_(content), path_(path) {}

  [[noreturn]] void fail(const char* what) const { throw InputError(path_ + " cannot be read as a picture: " + what); }

  std::size_t number() {
    skip_space();
    std::size_t value = 0, digits = 0;
    for (; at_ < content_.size() && content_[at_] >= '0' && content_[at_] <= '9' && value <= kMaxSide; ++at_, ++digits) {
      value = value * 10 + (content_[at_] - std::size_t{'0'});
    }
    if (digits == 0 || value == 0 || value > kMaxSide) fail("no size in its header");
    return value;
  }

  std::size_t end() {
    if (at_ >= content_.size() || !is_space()) fail("its header has no end");
    return at_ + 1;
  }

 private:
  bool is_space() const { return std::strchr(" \t\r\n\v\f", content_[at_]) != nullptr && content_[at_] != 0; }

  void skip_space() {
    for (bool comment = false; at_ < content_.size() && (comment || is_space() || content_[at_] == '#'); ++at_) {
      comment = content_[at_] != '\n' && (comment || content_[at_] == '#');
    }
  }

  const std::vector<std::uint8_t>& content_;
  const std::string& path_;
  std::size_t at_ = 2;
};

Picture read_netpbm(const std::string& path) {
  const std::vector<std::uint8_t> content = read_file(path);
  Header header(content, path);
  const bool grey = content.size() > 2 && content[0] == 'P' && content[1] == '5';
  if (!grey && !(content.size() > 2 && content[0] == 'P' && content[1] == '6')) header.fail("neither P5 nor P6");
  Picture result;
  result.width = header.number();
  result.height = header.number();
  if (header.number() != 255) header.fail("not of 8 bits a channel");
  const std::size_t begin = header.end(), channels = grey ? 1 : 3, left = content.size() - begin;
  if (left / channels / result.width < result.height) header.fail("it is cut");
  const std::size_t count = result.width * result.height;
  const std::uint8_t* from = content.data() + begin;
  if (!grey) {
    result.pixels.assign(from, from + 3 * count);
    return result;
  }
  for (std::size_t i = 0; i < count; ++i) result.pixels.insert(result.pixels.end(), 3, from[i]);
  return result;
}

Picture read_raw(const std::string& path, std::size_t width, std::size_t height) {
  Picture result{width, height, read_file(path)};
  if (result.pixels.size() % 3 != 0 || result.pixels.size() / 3 / width != height ||
      result.pixels.size() / 3 % width != 0) {
    throw InputError(path + " has " + std::to_string(result.pixels.size()) + " bytes, not those of " +
                     std::to_string(width) + " x " + std::to_string(height) + " RGB pixels");
  }
  return result;
}

// Names and labels of strangers must not steer the terminal: control characters (of UTF-8's second block, too) are written
// as edgetune-run writes them.
std::string visible(std::string_view text) {
  std::string shown;
  char code[8];
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    const bool second_block = byte == 0xc2 && next >= 0x80 && next < 0xa0;
    if (second_block) byte = static_cast<unsigned char>(text[++i]);
    if (second_block || byte == 0x7f || (byte < 0x20 && byte != '\t' && byte != '\n')) {
      std::snprintf(code, sizeof code, "\\x%02x", byte);
      shown += code;
    } else {
      shown += static_cast<char>(byte);
    }
  }
  return shown;
}

// A name or label, which has a line of its own.
std::string on_one_line(std::string_view text) {
  std::string shown;
  for (const char c : visible(text)) {
    if (c == '\n') {
      shown += "\\n";
    } else {
      shown += c;
    }
  }
  return shown;
}

void show(const Arguments& arguments, const std::string& name, const std::vector<edgetune::Prediction>& best) {
  using edgetune::detail::quote_json;
  if (!arguments.json) {
    std::printf("%s\n", on_one_line(name).c_str());
    for (const auto& one : best) {
      std::printf("  %5.1f%%  %s\n", 100 * one.probability, on_one_line(one.label).c_str());
    }
    return;
  }
  std::string text = "{\"image\": " + quote_json(name) + ", \"predictions\": [";
  for (const auto& one : best) {
    char number[32];
    std::snprintf(number, sizeof number, "%.17g", one.probability);
    text += (&one == best.data() ? "{\"label\": " : ", {\"label\": ") + quote_json(one.label) +
            ", \"probability\": " + number + "}";
  }
  std::printf("%s]}\n", text.c_str());
}

void run(Arguments arguments) {
  const bool self_test = arguments.self_test;
  arguments.options.self_test = !self_test;  // below, to say what came out
  const auto engine = edgetune::Engine::open(arguments.bundle, arguments.options);
  if (self_test) {
    const double difference = engine.self_test();
    std::fprintf(arguments.json ? stderr : stdout, "self-test passed: outputs differ by up to %.3g (%s)\n",
                 difference, engine.library().c_str());
  }
  for (const std::string& name : arguments.images) {
    const Picture picture = arguments.raw_width != 0 ? read_raw(name, arguments.raw_width, arguments.raw_height)
                                                     : read_netpbm(name);
    show(arguments, name, engine.predict({picture.pixels.data(), picture.width, picture.height}, arguments.top));
  }
}

}  // namespace

int main(int count, char** words) {
  try {
    const Arguments arguments = parse(count, words);
    if (arguments.help) {
      std::fputs(kUsage, stdout);
    } else {
      run(arguments);
    }
    return std::fflush(stdout) == 0 ? 0 : 1;
  } catch (const UsageError& problem) {
    std::fprintf(stderr, "%serror: %s\n", kUsage, problem.message.c_str());
    return 2;
  } catch (const edgetune::Error& problem) {
    std::fprintf(stderr, "error: %s\n", visible(problem.what()).c_str());
    return 2;
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "error: %s\n", visible(problem.what()).c_str());
    return 1;
  }
}
