#include "json.hpp"

#include <algorithm>
#include <charconv>
#include <locale>
#include <sstream>

#include "edgetune/edgetune.hpp"
#include "utf8.hpp"

namespace edgetune::detail {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Json whole() {
    Json result = value(0);
    skip_space();
    if (at_ != text_.size()) fail("something follows the value");
    return result;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw BundleError("not valid JSON at byte " + std::to_string(at_) + ": " + what);
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_space() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
  }

  bool take(char wanted) {
    if (peek() != wanted || at_ == text_.size()) return false;
    ++at_;
    return true;
  }

  void expect(char wanted) {
    if (!take(wanted)) fail(std::string("expected ") + wanted);
  }

  Json value(int depth) {
    if (depth > kMaxJsonDepth) fail("nested too deeply");
    skip_space();
    switch (peek()) {
      case '{':
        return object(depth);
      case '[':
        return array(depth);
      case '"': {
        Json result;
        result.kind = Json::Kind::text;
        result.text = string();
        return result;
      }
      case 't':
        return word("true", Json::Kind::boolean, true);
      case 'f':
        return word("false", Json::Kind::boolean, false);
      case 'n':
        return word("null", Json::Kind::null, false);
      default:
        return number();
    }
  }

  Json word(std::string_view spelled, Json::Kind kind, bool boolean) {
    if (text_.substr(at_, spelled.size()) != spelled) fail("no value");
    at_ += spelled.size();
    Json result;
    result.kind = kind;
    result.boolean = boolean;
    return result;
  }

  Json array(int depth) {
    Json result;
    result.kind = Json::Kind::array;
    expect('[');
    skip_space();
    if (take(']')) return result;
    do {
      result.items.push_back(value(depth + 1));
      skip_space();
    } while (take(','));
    expect(']');
    return result;
  }

  Json object(int depth) {
    Json result;
    result.kind = Json::Kind::object;
    expect('{');
    skip_space();
    if (take('}')) return result;
    do {
      skip_space();
      if (peek() != '"') fail("expected a key");
      result.keys.push_back(string());
      skip_space();
      expect(':');
      result.items.push_back(value(depth + 1));
      skip_space();
    } while (take(','));
    expect('}');
    refuse_twins(result.keys);
    return result;
  }

  void refuse_twins(const std::vector<std::string>& keys) const {
    std::vector<std::string_view> sorted(keys.begin(), keys.end());
    std::sort(sorted.begin(), sorted.end());
    const auto twin = std::adjacent_find(sorted.begin(), sorted.end());
    if (twin != sorted.end()) fail("the key " + quote_json(*twin) + " comes twice");
  }

  std::string string() {
    expect('"');
    std::string result;
    while (!take('"')) {
      if (at_ == text_.size()) fail("a string has no end");
      const char character = text_[at_];
      if (static_cast<unsigned char>(character) < 0x20) fail("a control character in a string");
      ++at_;
      if (character == '\\') {
        escape(result);
      } else {
        result += character;
      }
    }
    return result;
  }

  void escape(std::string& result) {
    const char kind = peek();
    static constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
    const std::size_t index = kFrom.find(kind);
    if (at_ < text_.size() && index != std::string_view::npos) {
      ++at_;
      result += kTo[index];
      return;
    }
    if (!take('u')) fail("an unknown escape");
    std::uint32_t character = four_digits();
    if (character >= 0xd800 && character < 0xdc00 && take('\\')) {
      if (!take('u')) fail("an unpaired surrogate");
      const std::uint32_t low = four_digits();
      if (low < 0xdc00 || low >= 0xe000) fail("an unpaired surrogate");
      character = 0x10000 + ((character - 0xd800) << 10) + (low - 0xdc00);
    }
    if (character >= 0xd800 && character < 0xe000) fail("an unpaired surrogate");
    append_utf8(result, character);
  }

  std::uint32_t four_digits() {
    std::uint32_t result = 0;
    if (text_.size() - at_ < 4) fail("an escape has no end");
    const char* begin = text_.data() + at_;
    const auto parsed = std::from_chars(begin, begin + 4, result, 16);
    if (parsed.ptr != begin + 4) fail("an escape needs four hexadecimal digits");
    at_ += 4;
    return result;
  }

  std::size_t digits() {
    const std::size_t begin = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ - begin;
  }

  Json number() {
    const std::size_t begin = at_;
    take('-');
    const bool zero = peek() == '0';
    const std::size_t count = digits();
    if (count == 0) fail("no value");
    if (zero && count > 1) fail("a number begins with 0");
    bool whole = true;
    if (take('.')) {
      whole = false;
      if (digits() == 0) fail("a number ends with its point");
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      whole = false;
      if (!take('+')) take('-');
      if (digits() == 0) fail("a number has no exponent");
    }
    Json result;
    result.text = text_.substr(begin, at_ - begin);
    result.kind = whole ? Json::Kind::integer : Json::Kind::real;
    if (whole) {
      const char* end = result.text.data() + result.text.size();
      if (std::from_chars(result.text.data(), end, result.integer).ec != std::errc()) fail("a number is too large");
    }
    std::istringstream stream(result.text);  // from_chars of doubles is younger than the compilers of some devices
    stream.imbue(std::locale::classic());
    if (!(stream >> result.real)) fail("a number is too large");
    return result;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

const Json* Json::find(std::string_view key) const noexcept {
  const auto found = std::find(keys.begin(), keys.end(), key);
  return found == keys.end() ? nullptr : &items[static_cast<std::size_t>(found - keys.begin())];
}

Json parse_json(std::string_view text) {
  if (!is_utf8(text)) throw BundleError("not valid JSON: the text is not UTF-8");
  return Parser(text).whole();
}

std::string quote_json(std::string_view text) {
  std::string result = "\"";
  for (const char character : text) {
    const auto code = static_cast<unsigned char>(character);
    if (character == '"' || character == '\\') {
      result += '\\';
      result += character;
    } else if (code < 0x20 || code == 0x7f) {
      result += "\\u00";
      result += "0123456789abcdef"[code >> 4];
      result += "0123456789abcdef"[code & 15];
    } else {
      result += character;
    }
  }
  return result + '"';
}

}  // namespace edgetune::detail
