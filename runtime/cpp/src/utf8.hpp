// UTF-8 (RFC 3629), one character at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace edgetune::detail {

constexpr std::uint32_t kNoCharacter = 0xffffffff;

// The character at `position`, which moves behind it; kNoCharacter where the bytes are none (overlong and
// surrogates included).
std::uint32_t next_character(std::string_view text, std::size_t& position);

bool is_utf8(std::string_view text);

void append_utf8(std::string& text, std::uint32_t character);

}  // namespace edgetune::detail
