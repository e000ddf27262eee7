#include "picture.hpp"

#include <algorithm>
#include <cmath>
#include <string>

// Products and sums are rounded one by one, as numpy's and Pillow's are: CMakeLists.txt sets -ffp-contract=off.

namespace edgetune::detail {
namespace {

constexpr std::uint64_t kMaxPixels = 1 << 26;  // after resizing; as in the Python runtime
constexpr std::size_t kMaxSide = 1 << 26;      // so that the products below are exact in a double
constexpr int kFraction = 22;                  // bits behind the point of a weight, as in Pillow

// What one output pixel is made of along one axis: weights of the input pixels from `begin` on.
struct Window {
  std::size_t begin = 0;
  std::vector<std::int32_t> weights;
};

// Antialiased bilinear resampling as Pillow defines it: a triangle as wide as the scale, normalised, in fixed point.
// https://github.com/python-pillow/Pillow/blob/main/src/libImaging/Resample.c
std::vector<Window> make_windows(std::size_t from, std::size_t to, std::size_t first, std::size_t count) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double support = std::max(scale, 1.0), narrow = 1.0 / support;
  std::vector<Window> windows(count);
  std::vector<double> weights;
  for (std::size_t i = 0; i < count; ++i) {
    const double centre = (static_cast<double>(first + i) + 0.5) * scale;
    const auto lowest = static_cast<std::int64_t>(centre - support + 0.5);
    const auto highest = static_cast<std::int64_t>(centre + support + 0.5);
    const std::int64_t begin = std::max<std::int64_t>(lowest, 0);
    const std::int64_t end = std::min(highest, static_cast<std::int64_t>(from));
    weights.clear();
    double sum = 0;
    for (std::int64_t x = begin; x < end; ++x) {
      const double distance = std::fabs((static_cast<double>(x) - centre + 0.5) * narrow);
      weights.push_back(distance < 1 ? 1 - distance : 0);
      sum += weights.back();
    }
    windows[i].begin = static_cast<std::size_t>(begin);
    for (const double weight : weights) {
      const double share = sum != 0 ? weight / sum : weight;
      windows[i].weights.push_back(static_cast<std::int32_t>(0.5 + share * (1 << kFraction)));
    }
  }
  return windows;
}

std::uint8_t to_byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kFraction, std::int32_t{0}, std::int32_t{255}));
}

constexpr std::int32_t kHalf = 1 << (kFraction - 1);

// One row along x: RGB bytes from the pixel `first` on, 3 * windows.size() bytes out.
void resample_row(const std::uint8_t* row, std::size_t first, const std::vector<Window>& windows, std::uint8_t* out) {
  for (const Window& window : windows) {
    std::int32_t red = kHalf, green = kHalf, blue = kHalf;
    const std::uint8_t* pixel = row + 3 * (window.begin - first);
    for (const std::int32_t weight : window.weights) {
      red += weight * pixel[0];
      green += weight * pixel[1];
      blue += weight * pixel[2];
      pixel += 3;
    }
    *out++ = to_byte(red);
    *out++ = to_byte(green);
    *out++ = to_byte(blue);
  }
}

// One output row of `out.size()` bytes along y, from rows that lie `stride` apart.
void resample_column(const std::uint8_t* rows, std::size_t stride, const std::vector<std::int32_t>& weights,
                     std::vector<std::int32_t>& sums, std::vector<std::uint8_t>& out) {
  sums.assign(out.size(), kHalf);
  for (const std::int32_t weight : weights) {
    for (std::size_t i = 0; i < out.size(); ++i) sums[i] += weight * rows[i];
    rows += stride;
  }
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = to_byte(sums[i]);
}

std::size_t end_of(const std::vector<Window>& windows) { return windows.back().begin + windows.back().weights.size(); }

// The order of the two passes shows in the last bit, because pixels are rounded between them. Pillow 13 begins with
// the rows where far more of them go than columns; older ones always begin with the columns.
bool vertical_first(const Image& image, std::uint64_t width, std::uint64_t height) {
  const auto rows = static_cast<std::int64_t>(image.height) - static_cast<std::int64_t>(height);
  const auto columns = static_cast<std::int64_t>(image.width) - static_cast<std::int64_t>(width);
  return rows > 0 && rows > 2 * columns;
}

// RGB bytes [down.size(), across.size()].
std::vector<std::uint8_t> resample(const Image& image, std::size_t stride, const std::vector<Window>& across,
                                   const std::vector<Window>& down, bool rows_first) {
  const std::size_t row = 3 * across.size(), left = across.front().begin, top = down.front().begin;
  std::vector<std::uint8_t> result(row * down.size());
  std::vector<std::int32_t> sums;
  if (rows_first) {
    std::vector<std::uint8_t> line(3 * (end_of(across) - left));
    for (std::size_t y = 0; y < down.size(); ++y) {
      resample_column(image.pixels + down[y].begin * stride + 3 * left, stride, down[y].weights, sums, line);
      resample_row(line.data(), left, across, result.data() + y * row);
    }
    return result;
  }
  std::vector<std::uint8_t> rows((end_of(down) - top) * row), line(row);
  for (std::size_t y = top; y < end_of(down); ++y) {
    resample_row(image.pixels + y * stride, 0, across, rows.data() + (y - top) * row);
  }
  for (std::size_t y = 0; y < down.size(); ++y) {
    resample_column(rows.data() + (down[y].begin - top) * row, row, down[y].weights, sums, line);
    std::copy(line.begin(), line.end(), result.begin() + static_cast<std::ptrdiff_t>(y * row));
  }
  return result;
}

// Half to even, as Python's round.
std::uint64_t scaled(std::size_t side, std::size_t short_side, std::size_t shortest) {
  const double exact = static_cast<double>(std::uint64_t{short_side} * side) / static_cast<double>(shortest);
  return static_cast<std::uint64_t>(std::nearbyint(exact));
}

}  // namespace

Preprocessing::Preprocessing(const PictureSteps& steps)
    : short_side_(static_cast<std::size_t>(steps.short_side)),
      height_(static_cast<std::size_t>(steps.height)),
      width_(static_cast<std::size_t>(steps.width)) {
  for (std::size_t channel = 0; channel < 3 && !steps.pixels; ++channel) {
    const auto factor = static_cast<float>(steps.scale / steps.std[channel]);
    const auto offset = static_cast<float>(-steps.mean[channel] / steps.std[channel]);
    for (std::size_t value = 0; value < 256; ++value) {
      const float product = static_cast<float>(value) * factor;
      table_[channel][value] = product + offset;
    }
  }
}

std::vector<std::uint8_t> Preprocessing::pixels(const Image& image) const {
  const std::size_t shortest = std::min(image.width, image.height);
  const std::string size = std::to_string(image.width) + " x " + std::to_string(image.height);
  if (image.pixels == nullptr || shortest == 0) throw InputError("the picture is empty: " + size + " pixels");
  const std::size_t stride = image.stride == 0 ? 3 * image.width : image.stride;
  if (std::max(image.width, image.height) > kMaxSide) throw InputError("a picture of " + size + " pixels is too large");
  if (stride < 3 * image.width) throw InputError("the stride of a picture of " + size + " pixels is below a row");
  const std::uint64_t width = scaled(image.width, short_side_, shortest);
  const std::uint64_t height = scaled(image.height, short_side_, shortest);
  if (width > kMaxPixels / height) {
    throw InputError("a picture of " + size + " pixels is too long and thin: crop it first");
  }
  // Only what the crop keeps is computed: each output pixel depends on its own window alone.
  const std::size_t left = (static_cast<std::size_t>(width) - width_) / 2;
  const std::size_t top = (static_cast<std::size_t>(height) - height_) / 2;
  const auto across = make_windows(image.width, static_cast<std::size_t>(width), left, width_);
  const auto down = make_windows(image.height, static_cast<std::size_t>(height), top, height_);
  return resample(image, stride, across, down, vertical_first(image, width, height));
}

void Preprocessing::operator()(const Image& image, float* values) const {
  const std::vector<std::uint8_t> bytes = pixels(image);
  const std::size_t plane = height_ * width_;
  for (std::size_t i = 0; i < plane; ++i) {
    for (std::size_t channel = 0; channel < 3; ++channel) {
      values[channel * plane + i] = table_[channel][bytes[3 * i + channel]];
    }
  }
}

}  // namespace edgetune::detail
