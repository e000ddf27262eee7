// No more of onnx.proto, in protobuf's encoding, than leads to tensors. The Python runtime's external_data.py does the same.
#include "external_data.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace edgetune::detail {
namespace {

enum class Kind { kModel, kGraph, kFunction, kTraining, kNode, kAttribute, kSparse, kTensor, kEntry, kOther };

// Which message a field of a message holds.
Kind held(Kind message, std::uint64_t field) {
  switch (message) {
    case Kind::kModel:
      return field == 7 ? Kind::kGraph : field == 20 ? Kind::kTraining : field == 25 ? Kind::kFunction : Kind::kOther;
    case Kind::kGraph:
      return field == 1 ? Kind::kNode : field == 5 ? Kind::kTensor : field == 15 ? Kind::kSparse : Kind::kOther;
    case Kind::kFunction:
      return field == 7 ? Kind::kNode : field == 11 ? Kind::kAttribute : Kind::kOther;
    case Kind::kTraining:
      return field == 1 || field == 2 ? Kind::kGraph : Kind::kOther;
    case Kind::kNode:
      return field == 5 ? Kind::kAttribute : Kind::kOther;
    case Kind::kAttribute:
      if (field == 5 || field == 10) return Kind::kTensor;
      if (field == 6 || field == 11) return Kind::kGraph;
      return field == 22 || field == 23 ? Kind::kSparse : Kind::kOther;
    case Kind::kSparse:
      return field == 1 || field == 2 ? Kind::kTensor : Kind::kOther;
    case Kind::kTensor:
      return field == 13 ? Kind::kEntry : Kind::kOther;
    default:
      return Kind::kOther;
  }
}

struct Reader {
  const std::uint8_t* at;
  const std::uint8_t* end;

  std::size_t left() const { return static_cast<std::size_t>(end - at); }

  std::optional<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift <= 63 && at != end; shift += 7) {
      const std::uint8_t byte = *at++;
      value |= std::uint64_t{byte & 0x7fU} << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }

  // The next field that has a length, as (number, content); none: the end, cut off, or no protobuf.
  std::optional<std::pair<std::uint64_t, Reader>> next() {
    while (at != end) {
      const auto tag = varint();
      if (!tag) return std::nullopt;
      const std::uint64_t kind = *tag & 7;
      if (kind == 0) {
        if (!varint()) return std::nullopt;
      } else if (kind == 1 || kind == 5) {
        const std::size_t size = kind == 1 ? 8 : 4;
        if (left() < size) return std::nullopt;
        at += size;
      } else if (kind == 2) {
        const auto length = varint();
        if (!length || *length > left()) return std::nullopt;
        const Reader content{at, at + *length};
        at += *length;
        return std::make_pair(*tag >> 3, content);
      } else {
        return std::nullopt;
      }
    }
    return std::nullopt;
  }

  std::string text() const { return std::string(at, end); }
};

// The value of an entry whose key is "location".
std::optional<std::string> location(Reader entry) {
  std::string key, value;
  while (const auto field = entry.next()) {
    if (field->first == 1) key = field->second.text();
    if (field->first == 2) value = field->second.text();
  }
  return key == "location" ? std::optional<std::string>(value) : std::nullopt;
}

}  // namespace

std::string external_name(const Bytes& onnx) {
  static constexpr std::string_view kLocation = "location";  // every entry spells it, and few files have any
  if (std::search(onnx.begin(), onnx.end(), kLocation.begin(), kLocation.end()) == onnx.end()) return {};
  std::vector<std::pair<Kind, Reader>> waiting{{Kind::kModel, {onnx.data(), onnx.data() + onnx.size()}}};
  while (!waiting.empty()) {
    auto [message, reader] = waiting.back();
    waiting.pop_back();
    while (const auto field = reader.next()) {
      const Kind kind = held(message, field->first);
      if (kind == Kind::kEntry) {
        if (const auto name = location(field->second)) return name->empty() ? "a file without a name" : *name;
      } else if (kind != Kind::kOther) {
        waiting.emplace_back(kind, field->second);
      }
    }
  }
  return {};
}

}  // namespace edgetune::detail
