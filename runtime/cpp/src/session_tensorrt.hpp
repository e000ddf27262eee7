// TensorRT, where this library was built with its headers (EDGETUNE_HAS_TENSORRT).
#pragma once

#include <memory>

#include "manifest.hpp"
#include "session.hpp"

namespace edgetune::detail {

// A session on an engine of TensorRT. One that the bundle brings (`bundled`) must have been built with this version for
// this GPU. Throws BundleError: built for others, damaged, or of another signature than the manifest's; BackendError.
std::unique_ptr<Session> open_tensorrt(const Bytes& plan, const Manifest& manifest, bool bundled);

}  // namespace edgetune::detail
