// From a decoded picture to the network's input, value for value as the Python runtime does it with Pillow 13.
#pragma once

#include <array>
#include <vector>

#include "edgetune/edgetune.hpp"
#include "manifest.hpp"

namespace edgetune::detail {

class Preprocessing {
 public:
  explicit Preprocessing(const PictureSteps& steps);

  std::size_t height() const noexcept { return height_; }
  std::size_t width() const noexcept { return width_; }

  // float32 [3, H, W] into `values`. Throws InputError: empty, or so long and thin that the desk refuses it.
  void operator()(const Image& image, float* values) const;

  // uint8 [H, W, 3], for engines that take pixels. Throws the same.
  std::vector<std::uint8_t> pixels(const Image& image) const;

 private:
  std::size_t short_side_, height_, width_;
  std::array<std::array<float, 256>, 3> table_{};  // what each byte of each channel becomes
};

}  // namespace edgetune::detail
