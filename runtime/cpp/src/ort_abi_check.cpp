// Compiled where CMake finds ONNX Runtime's header (ONNXRUNTIME_INCLUDE_DIR): every place in ort_abi.hpp against it.
#include <onnxruntime_c_api.h>

#include "ort_abi.hpp"

namespace ours = edgetune::detail::ort;

#define EDGETUNE_ORT_COMPARE(here, there, place) \
  static_assert(offsetof(ours::Api, here) == offsetof(OrtApi, there), #there " is at another place");
EDGETUNE_ORT_PLACES(EDGETUNE_ORT_COMPARE)
#undef EDGETUNE_ORT_COMPARE

static_assert(offsetof(ours::ApiBase, get_api) == offsetof(OrtApiBase, GetApi), "GetApi is at another place");
static_assert(offsetof(ours::ApiBase, version) == offsetof(OrtApiBase, GetVersionString), "so is GetVersionString");
static_assert(ours::kLogError == ORT_LOGGING_LEVEL_ERROR, "another log level");
static_assert(ours::kFail == ORT_FAIL, "another error code");
static_assert(ours::kFloat == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, "another element type");
static_assert(ours::kDeviceAllocator == OrtDeviceAllocator, "another allocator");
static_assert(ours::kDefaultMemory == OrtMemTypeDefault, "another kind of memory");
static_assert(ORT_ENABLE_ALL == 99 && ORT_ENABLE_EXTENDED == 2 && ORT_ENABLE_BASIC == 1 && ORT_DISABLE_ALL == 0,
              "other levels of optimization");
