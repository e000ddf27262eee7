// Arrays from numpy's .npz: a zip of .npy files, stored or deflated.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "files.hpp"

namespace edgetune::detail {

template <typename T>
struct Array {
  std::vector<std::size_t> shape;
  std::vector<T> values;
};

// The array called `name`, of float or std::uint8_t. Throws BundleError: no zip, no such array, of another type, damaged, too large.
template <typename T>
Array<T> read_npz(const Bytes& archive, const std::string& name);

// Deflated bytes (RFC 1951) unpacked; throws BundleError for anything but exactly `size` bytes of output.
Bytes inflate(const std::uint8_t* data, std::size_t length, std::size_t size);

}  // namespace edgetune::detail
