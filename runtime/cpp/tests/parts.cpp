// Tests of single parts, without ONNX Runtime.
//
//     edgetune-parts                          runs them all
//     edgetune-parts preprocess BUNDLE W H    float32 of the W x H RGB bytes on stdin, to stdout
//     edgetune-parts json | inflate SIZE      reads stdin; exit code 0: accepted (unpacked to stdout), 1: refused
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <string>

#include "edgetune/edgetune.hpp"
#include "files.hpp"
#include "json.hpp"
#include "manifest.hpp"
#include "npz.hpp"
#include "picture.hpp"
#include "sha256.hpp"

namespace {

using namespace edgetune::detail;

int failures = 0;

void expect(bool right, const std::string& what) {
  if (right) return;
  ++failures;
  std::fprintf(stderr, "failed: %s\n", what.c_str());
}

std::string digest(const std::string& text) {
  return sha256(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

// The examples of NIST's "SHA-256" page of the Cryptographic Standards and Guidelines, and a long message.
void test_sha256() {
  expect(digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "sha256 of nothing");
  expect(digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "sha256 of abc");
  expect(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
             "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
         "sha256 of two blocks");
  expect(digest("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmno"
                "pqrstnopqrstu") == "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
         "sha256 of 896 bits");
  expect(digest(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
         "sha256 of a million a");
}

bool refused(const std::function<void()>& body) {
  try {
    body();
  } catch (const edgetune::BundleError&) {
    return true;
  }
  return false;
}

void test_json() {
  const Json value = parse_json(" {\"a\": [1, -2.5e1, true, null, \"\\u00e9\\ud83d\\ude00\\n\"], \"b\": {}} ");
  expect(value.find("a") != nullptr && value.find("c") == nullptr, "members by name");
  const auto& items = value.find("a")->items;
  expect(items.size() == 5 && items[0].integer == 1 && items[1].real == -25 && items[2].boolean, "values");
  expect(items[0].is(Json::Kind::integer) && items[1].is(Json::Kind::real) && items[3].is(Json::Kind::null), "kinds");
  expect(items[4].text == "\xc3\xa9\xf0\x9f\x98\x80\n", "escapes");
  expect(parse_json("0.1").real == 0.1 && parse_json("5e-324").real == 5e-324, "doubles are read exactly");
  expect(parse_json("9223372036854775807").integer == INT64_MAX, "the largest integer");
  for (const char* bad :
       {"", " ", "{", "[1,]", "{\"a\":1,}", "{\"a\" 1}", "{a:1}", "01", "-", "1.", ".5", "1e", "+1", "NaN", "Infinity",
        "1e999", "9223372036854775808", "tru", "nul", "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\udc00\"",
        "\"\\ud800\\u0041\"", "\"\n\"", "[1] 2", "{\"a\":1,\"a\":2}", "\xff", "\"\xc0\x80\"", "\"\xed\xa0\x80\"",
        "\xef\xbb\xbf{}", "'a'", "// c\n1", "[", "\"\\"}) {
    expect(refused([&] { parse_json(bad); }), std::string("JSON is refused: ") + bad);
  }
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  parse_json(nested(kMaxJsonDepth));
  expect(refused([&] { parse_json(nested(kMaxJsonDepth + 2)); }), "JSON that is too deep");
  expect(refused([&] { parse_json(nested(1000000)); }), "JSON that is far too deep");
  expect(refused([&] { parse_json(std::string(1000000, '[')); }), "JSON that never ends");
  expect(refused([&] { parse_json(std::string("\"a\0b\"", 5)); }), "a zero byte in a string");
  expect(quote_json("a\"\\\n\x7f") == "\"a\\\"\\\\\\u000a\\u007f\"", "quoting");
}

void test_names() {
  for (const char* good : {"engine.onnx", "a/b.c", "gr\xc3\xbcn.onnx", "..a", "a..", ".hidden"}) {
    expect(is_safe_name(good), std::string("a safe name: ") + good);
  }
  for (const char* bad : {"", ".", "..", "a/../b", "/a", "a//b", "a/", "\\a", "..\\a", "C:a", "a\nb", "./a", "\xff",
                          "a\xc2\x85", "\xe2\x80\xaez", "a/.."}) {
    expect(!is_safe_name(bad), std::string("an unsafe name: ") + bad);
  }
  expect(!is_safe_name(std::string("a\0b", 3)), "a zero byte in a name");
}

std::string standard_input() { return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()}; }

int preprocess(char** words) {
  const Manifest manifest = read_manifest(Files(words[0]), false);
  const Preprocessing steps(manifest.preprocessing);
  const std::size_t width = std::strtoul(words[1], nullptr, 10), height = std::strtoul(words[2], nullptr, 10);
  const std::string pixels = standard_input();
  if (pixels.size() != 3 * width * height) return 2;
  std::vector<float> values(3 * steps.height() * steps.width());
  steps({reinterpret_cast<const std::uint8_t*>(pixels.data()), width, height}, values.data());
  return std::fwrite(values.data(), sizeof(float), values.size(), stdout) == values.size() ? 0 : 2;
}

int unpack(std::size_t size) {
  const std::string packed = standard_input();
  const Bytes found = inflate(reinterpret_cast<const std::uint8_t*>(packed.data()), packed.size(), size);
  return found.empty() || std::fwrite(found.data(), 1, found.size(), stdout) == found.size() ? 0 : 2;
}

int serve(int count, char** words) {
  const std::string what = words[1];
  if (what == "preprocess" && count == 5) return preprocess(words + 2);
  if (what == "inflate" && count == 3) return unpack(std::strtoul(words[2], nullptr, 10));
  if (what == "json" && count == 2) return parse_json(standard_input()), 0;
  return 2;
}

}  // namespace

int main(int count, char** words) {
  try {
    if (count > 1) return serve(count, words);
    test_sha256();
    test_json();
    test_names();
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "%s\n", problem.what());
    return 1;
  }
  if (failures == 0) std::puts("all parts work");
  return failures == 0 ? 0 : 1;
}
