// Whether an ONNX file takes weights from other files: an engine of a bundle holds them itself.
#pragma once

#include "files.hpp"

namespace edgetune::detail {

// The name of a file that a tensor of this ONNX file is kept in; empty: none, or no ONNX file. It is not opened.
std::string external_name(const Bytes& onnx);

}  // namespace edgetune::detail
