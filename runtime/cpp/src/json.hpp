// A strict JSON reader (RFC 8259) for manifests: what is malformed, ambiguous or too deep is refused.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace edgetune::detail {

struct Json {
  enum class Kind { null, boolean, integer, real, text, array, object };

  Kind kind = Kind::null;
  bool boolean = false;
  std::int64_t integer = 0;
  double real = 0;                // of integers too
  std::string text;               // of a number: as it was written
  std::vector<Json> items;        // of an array, or an object's values
  std::vector<std::string> keys;  // of an object, beside `items`

  bool is(Kind wanted) const noexcept { return kind == wanted; }
  bool is_number() const noexcept { return kind == Kind::integer || kind == Kind::real; }

  // The member called `key`; null when there is none, or this is no object.
  const Json* find(std::string_view key) const noexcept;
};

constexpr int kMaxJsonDepth = 64;

// The value that `text` is. Throws BundleError (where, and what is wrong) for anything but one JSON value in UTF-8:
// keys that come twice, NaN, unpaired surrogates, integers beyond 64 bits and more than kMaxJsonDepth levels, too.
Json parse_json(std::string_view text);

// `text` as a JSON string, with quotes.
std::string quote_json(std::string_view text);

}  // namespace edgetune::detail
