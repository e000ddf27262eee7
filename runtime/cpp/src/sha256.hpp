// SHA-256 (FIPS 180-4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace edgetune::detail {

// Lower-case hexadecimal digest of `size` bytes.
std::string sha256(const std::uint8_t* data, std::size_t size);

}  // namespace edgetune::detail
