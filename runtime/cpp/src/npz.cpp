#include "npz.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "edgetune/edgetune.hpp"

namespace edgetune::detail {
namespace {

constexpr std::uint64_t kMaxBytes = 1 << 30;  // of one array

[[noreturn]] void fail(const std::string& what) {
  throw BundleError("the golden samples cannot be read: " + what);
}

// Bits of a deflate stream, the lowest of each byte first.
class Bits {
 public:
  Bits(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  unsigned take(unsigned count) {
    while (held_ < count) {
      if (at_ == size_) fail("a deflate stream is cut");
      window_ |= static_cast<std::uint32_t>(data_[at_++]) << held_;
      held_ += 8;
    }
    const unsigned result = window_ & ((1u << count) - 1);
    window_ >>= count;
    held_ -= count;
    return result;
  }

  // Forget the rest of a byte and copy whole bytes.
  void copy(Bytes& to, std::size_t count) {
    window_ = held_ = 0;
    if (size_ - at_ < count) fail("a deflate stream is cut");
    to.insert(to.end(), data_ + at_, data_ + at_ + count);
    at_ += count;
  }

  unsigned word() {
    window_ = held_ = 0;  // at most 7 bits are held between blocks
    if (size_ - at_ < 2) fail("a deflate stream is cut");
    at_ += 2;
    return data_[at_ - 2] | data_[at_ - 1] << 8;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_, at_ = 0;
  std::uint32_t window_ = 0;
  unsigned held_ = 0;
};

// Canonical Huffman code: how many codes each length has, and the symbols in the order of their codes.
class Code {
 public:
  Code(const std::uint8_t* lengths, std::size_t count) : symbols_(count) {
    for (std::size_t i = 0; i < count; ++i) ++counts_[lengths[i]];
    counts_[0] = 0;
    int free = 1;
    for (std::size_t length = 1; length < counts_.size(); ++length) {
      free = 2 * free - counts_[length];
      if (free < 0) fail("a Huffman code has too many words");
    }
    std::array<std::size_t, 17> next{};
    for (std::size_t length = 1; length < counts_.size(); ++length) {
      next[length + 1] = next[length] + static_cast<std::size_t>(counts_[length]);
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (lengths[i] != 0) symbols_[next[lengths[i]]++] = static_cast<std::uint16_t>(i);
    }
  }

  unsigned symbol(Bits& bits) const {
    int code = 0, first = 0, index = 0;
    for (std::size_t length = 1; length < counts_.size(); ++length) {
      code |= static_cast<int>(bits.take(1));
      if (code - first < counts_[length]) return symbols_[static_cast<std::size_t>(index + code - first)];
      index += counts_[length];
      first = (first + counts_[length]) << 1;
      code <<= 1;
    }
    fail("an unknown Huffman code");
  }

 private:
  std::array<int, 16> counts_{};
  std::vector<std::uint16_t> symbols_;
};

struct Codes {
  Code literals, distances;
};

Codes fixed_codes() {
  std::array<std::uint8_t, 288> lengths{};
  std::fill(lengths.begin(), lengths.begin() + 144, std::uint8_t{8});
  std::fill(lengths.begin() + 144, lengths.begin() + 256, std::uint8_t{9});
  std::fill(lengths.begin() + 256, lengths.begin() + 280, std::uint8_t{7});
  std::fill(lengths.begin() + 280, lengths.end(), std::uint8_t{8});
  std::array<std::uint8_t, 30> distances{};
  distances.fill(5);
  return {Code(lengths.data(), lengths.size()), Code(distances.data(), distances.size())};
}

Codes dynamic_codes(Bits& bits) {
  static constexpr std::uint8_t kOrder[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  const std::size_t literals = bits.take(5) + 257, distances = bits.take(5) + 1, count = bits.take(4) + 4;
  if (literals > 286 || distances > 30) fail("a Huffman code has too many symbols");
  std::array<std::uint8_t, 320> lengths{};
  for (std::size_t i = 0; i < count; ++i) lengths[kOrder[i]] = static_cast<std::uint8_t>(bits.take(3));
  const Code code(lengths.data(), 19);
  lengths.fill(0);
  for (std::size_t i = 0; i < literals + distances;) {
    const unsigned symbol = code.symbol(bits);
    if (symbol < 16) {
      lengths[i++] = static_cast<std::uint8_t>(symbol);
      continue;
    }
    if (symbol == 16 && i == 0) fail("a Huffman code repeats nothing");
    const std::uint8_t value = symbol == 16 ? lengths[i - 1] : std::uint8_t{0};
    const std::size_t times = symbol == 16 ? 3 + bits.take(2) : symbol == 17 ? 3 + bits.take(3) : 11 + bits.take(7);
    if (times > literals + distances - i) fail("a Huffman code repeats too often");
    std::fill_n(lengths.begin() + static_cast<std::ptrdiff_t>(i), times, value);
    i += times;
  }
  return {Code(lengths.data(), literals), Code(lengths.data() + literals, distances)};
}

void unpack_block(Bits& bits, const Codes& codes, Bytes& to, std::size_t size) {
  static constexpr std::uint16_t kLength[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                                31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
  static constexpr std::uint8_t kLengthBits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                   2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
  static constexpr std::uint16_t kDistance[30] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,
                                                  33,  49,  65,  97,  129, 193,  257,  385,  513,  769,
                                                  1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
  for (;;) {
    const unsigned symbol = codes.literals.symbol(bits);
    if (symbol == 256) return;
    if (symbol < 256) {
      if (to.size() == size) fail("a deflate stream is too long");
      to.push_back(static_cast<std::uint8_t>(symbol));
      continue;
    }
    if (symbol > 285) fail("an unknown length");
    const std::size_t length = kLength[symbol - 257] + bits.take(kLengthBits[symbol - 257]);
    const unsigned code = codes.distances.symbol(bits);
    if (code > 29) fail("an unknown distance");
    const std::size_t distance = kDistance[code] + bits.take(code < 2 ? 0 : code / 2 - 1);
    if (distance > to.size()) fail("a distance reaches before the beginning");
    if (length > size - to.size()) fail("a deflate stream is too long");
    for (std::size_t i = 0; i < length; ++i) to.push_back(to[to.size() - distance]);
  }
}

std::uint32_t crc32(const Bytes& bytes) {
  static const std::array<std::uint32_t, 256> kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value & 1 ? 0xedb88320u ^ value >> 1 : value >> 1;
      table[i] = value;
    }
    return table;
  }();
  std::uint32_t value = 0xffffffffu;
  for (const std::uint8_t byte : bytes) value = kTable[(value ^ byte) & 255] ^ value >> 8;
  return ~value;
}

// Little-endian numbers at checked places.
class Reader {
 public:
  explicit Reader(const Bytes& bytes) : bytes_(bytes) {}

  std::uint32_t number(std::size_t offset, std::size_t count) const {
    if (offset > bytes_.size() || bytes_.size() - offset < count) fail("the zip is cut");
    std::uint32_t result = 0;
    for (std::size_t i = 0; i < count; ++i) result |= static_cast<std::uint32_t>(bytes_[offset + i]) << (8 * i);
    return result;
  }

  std::string_view text(std::size_t offset, std::size_t count) const {
    if (offset > bytes_.size() || bytes_.size() - offset < count) fail("the zip is cut");
    return {reinterpret_cast<const char*>(bytes_.data()) + offset, count};
  }

 private:
  const Bytes& bytes_;
};

// One member of a zip, unpacked and held against its checksum; zip64 and encryption are not known here.
Bytes read_member(const Bytes& archive, const std::string& name) {
  const Reader zip(archive);
  if (archive.size() < 22) fail("no zip");
  std::size_t end = archive.size() - 22;
  while (zip.number(end, 4) != 0x06054b50) {
    if (end == 0 || archive.size() - end > 22 + 0xffff) fail("no zip");
    --end;
  }
  std::size_t entry = zip.number(end + 16, 4);
  for (unsigned left = zip.number(end + 10, 2); left != 0; --left) {
    if (zip.number(entry, 4) != 0x02014b50) fail("the zip's directory is damaged");
    const std::size_t length = zip.number(entry + 28, 2);
    if (zip.text(entry + 46, length) != name) {
      entry += 46 + length + zip.number(entry + 30, 2) + zip.number(entry + 32, 2);
      continue;
    }
    const std::uint32_t flags = zip.number(entry + 8, 2), method = zip.number(entry + 10, 2);
    const std::size_t packed = zip.number(entry + 20, 4), size = zip.number(entry + 24, 4);
    const std::size_t local = zip.number(entry + 42, 4);
    if (zip.number(local, 4) != 0x04034b50) fail("the zip's directory is damaged");
    const std::size_t begin = local + 30 + zip.number(local + 26, 2) + zip.number(local + 28, 2);
    const std::string_view content = zip.text(begin, packed);
    const auto* data = reinterpret_cast<const std::uint8_t*>(content.data());
    if ((flags & 1) != 0 || (method != 0 && method != 8) || size > kMaxBytes) fail(name + " is packed in another way");
    if (method == 0 && size != packed) fail(name + " is cut");
    Bytes result = method == 8 ? inflate(data, packed, size) : Bytes(data, data + packed);
    if (crc32(result) != zip.number(entry + 16, 4)) fail(name + " is damaged");
    return result;
  }
  fail("there is no " + name);
}

// The text behind `'key':` in a .npy header, up to where the value can end.
std::string_view header_value(std::string_view header, const std::string& key, char last) {
  const std::string quoted = "'" + key + "':";
  const std::size_t begin = header.find(quoted);
  const std::size_t end = begin == std::string_view::npos ? begin : header.find(last, begin + quoted.size());
  if (end == std::string_view::npos) fail("an array's header is damaged");
  std::string_view value = header.substr(begin + quoted.size(), end - begin - quoted.size());
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return value;
}

std::vector<std::size_t> parse_shape(std::string_view text) {
  std::vector<std::size_t> shape;
  std::uint64_t count = 1;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] < '0' || text[at] > '9') {
      if (std::string_view("(, ").find(text[at]) == std::string_view::npos) fail("an array's shape is damaged");
      ++at;
      continue;
    }
    std::uint32_t size = 0;
    const auto parsed = std::from_chars(text.data() + at, text.data() + text.size(), size);
    count *= size;
    if (parsed.ec != std::errc() || count > kMaxBytes / sizeof(float)) fail("an array is too large");
    shape.push_back(size);
    at = static_cast<std::size_t>(parsed.ptr - text.data());
  }
  return shape;
}

}  // namespace

Bytes inflate(const std::uint8_t* data, std::size_t length, std::size_t size) {
  Bits bits(data, length);
  Bytes result;  // grows with what the stream really holds: a size is only a claim
  for (bool last = false; !last;) {
    last = bits.take(1) != 0;
    const unsigned kind = bits.take(2);
    if (kind == 3) fail("an unknown kind of block");
    if (kind == 0) {
      const unsigned count = bits.word(), check = bits.word();
      if ((count ^ 0xffffu) != check) fail("a stored block is damaged");
      if (count > size - result.size()) fail("a deflate stream is too long");
      bits.copy(result, count);
      continue;
    }
    unpack_block(bits, kind == 1 ? fixed_codes() : dynamic_codes(bits), result, size);
  }
  if (result.size() != size) fail("a deflate stream is too short");
  return result;
}

template <typename T>
Array<T> read_npz(const Bytes& archive, const std::string& name) {
  constexpr bool kFloats = std::is_same_v<T, float>;
  const Bytes npy = read_member(archive, name + ".npy");
  const Reader reader(npy);
  if (reader.text(0, 6) != "\x93NUMPY") fail(name + " is no array");
  const std::size_t wide = reader.number(6, 1) == 1 ? 2 : 4, header_size = reader.number(8, wide);
  const std::string_view header = reader.text(8 + wide, header_size);
  const std::string_view type = header_value(header, "descr", ','), order = header_value(header, "fortran_order", ',');
  if (type != (kFloats ? "'<f4'" : "'|u1'") || order != "False") {
    fail(name + " is no " + (kFloats ? "float32" : "uint8") + " array in C order");
  }
  Array<T> result;
  result.shape = parse_shape(header_value(header, "shape", ')'));
  std::size_t count = 1;
  for (const std::size_t size : result.shape) count *= size;
  const std::size_t begin = 8 + wide + header_size;
  if (npy.size() - begin != count * sizeof(T)) fail(name + " has another size than it says");
  result.values.resize(count);
  if (count != 0) std::memcpy(result.values.data(), npy.data() + begin, count * sizeof(T));
  return result;
}

template Array<float> read_npz(const Bytes& archive, const std::string& name);
template Array<std::uint8_t> read_npz(const Bytes& archive, const std::string& name);

}  // namespace edgetune::detail
