#include "utf8.hpp"

namespace edgetune::detail {

std::uint32_t next_character(std::string_view text, std::size_t& position) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(position);
  if (first < 0x80) return ++position, first;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() - position < length) return kNoCharacter;
  std::uint32_t character = first & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(position + i) & 0xc0) != 0x80) return kNoCharacter;
    character = character << 6 | (byte(position + i) & 0x3fu);
  }
  const bool overlong = (length == 3 && character < 0x800) || (length == 4 && character < 0x10000);
  if (overlong || character > 0x10ffff || (character >= 0xd800 && character < 0xe000)) return kNoCharacter;
  position += length;
  return character;
}

bool is_utf8(std::string_view text) {
  for (std::size_t position = 0; position < text.size();) {
    if (next_character(text, position) == kNoCharacter) return false;
  }
  return true;
}

void append_utf8(std::string& text, std::uint32_t character) {
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  if (character < 0x80) return put(character);
  if (character < 0x800) return put(0xc0 | character >> 6), put(0x80 | (character & 0x3f));
  if (character < 0x10000) {
    put(0xe0 | character >> 12);
  } else {
    put(0xf0 | character >> 18);
    put(0x80 | (character >> 12 & 0x3f));
  }
  put(0x80 | (character >> 6 & 0x3f));
  put(0x80 | (character & 0x3f));
}

}  // namespace edgetune::detail
