// The part of ONNX Runtime's C interface that is called here, so that its headers are not needed to build.
//
// The interface is a table of function pointers that grows at its end only: a function keeps its place for ever
// ("How to update the OrtApi", onnxruntime_c_api.h). Only the places used have a name; `reserved` fills those between.
// ort_abi_check.cpp compares every place with the real header where CMake is given one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgetune::detail::ort {

struct Status;
struct Env;
struct Session;
struct SessionOptions;
struct MemoryInfo;
struct Value;
struct TypeInfo;
struct TensorInfo;
struct Allocator;
struct RunOptions;

// Numbers of ONNX Runtime's enumerations.
constexpr int kLogError = 3;
constexpr int kFail = 1;           // an error code
constexpr int kFloat = 1;          // element types of a tensor
constexpr int kUint8 = 2;
constexpr int kDeviceAllocator = 0;
constexpr int kDefaultMemory = 0;

using Reserved = void (*)();

struct Api {
  Status* (*create_status)(int code, const char* message);
  int (*error_code)(const Status*);
  const char* (*error_message)(const Status*);
  Status* (*create_env)(int log_level, const char* name, Env**);
  Reserved reserved_4[2];
  Status* (*disable_telemetry)(const Env*);
  Reserved reserved_7[1];
  Status* (*create_session_from_array)(const Env*, const void* model, std::size_t size, const SessionOptions*,
                                       Session**);
  Status* (*run)(Session*, const RunOptions*, const char* const* input_names, const Value* const* inputs,
                 std::size_t input_count, const char* const* output_names, std::size_t output_count, Value** outputs);
  Status* (*create_session_options)(SessionOptions**);
  Reserved reserved_11[6];
  Status* (*disable_memory_pattern)(SessionOptions*);
  Reserved reserved_18[1];
  Status* (*disable_arena)(SessionOptions*);
  Reserved reserved_20[2];
  Status* (*set_log_level)(SessionOptions*, int);
  Status* (*set_graph_optimization)(SessionOptions*, int);
  Status* (*set_intra_op_threads)(SessionOptions*, int);
  Status* (*set_inter_op_threads)(SessionOptions*, int);
  Reserved reserved_26[4];
  Status* (*input_count)(const Session*, std::size_t*);
  Status* (*output_count)(const Session*, std::size_t*);
  Reserved reserved_32[1];
  Status* (*input_type)(const Session*, std::size_t, TypeInfo**);
  Status* (*output_type)(const Session*, std::size_t, TypeInfo**);
  Reserved reserved_35[1];
  Status* (*input_name)(const Session*, std::size_t, Allocator*, char**);
  Status* (*output_name)(const Session*, std::size_t, Allocator*, char**);
  Reserved reserved_38[11];
  Status* (*create_tensor)(const MemoryInfo*, void* data, std::size_t bytes, const std::int64_t* shape,
                           std::size_t dimensions, int type, Value**);
  Reserved reserved_50[5];
  Status* (*tensor_info)(const TypeInfo*, const TensorInfo**);
  Reserved reserved_56[4];
  Status* (*element_type)(const TensorInfo*, int*);
  Status* (*dimension_count)(const TensorInfo*, std::size_t*);
  Status* (*dimensions)(const TensorInfo*, std::int64_t*, std::size_t);
  Reserved reserved_63[6];
  Status* (*create_cpu_memory_info)(int allocator, int memory, MemoryInfo**);
  Reserved reserved_70[6];
  Status* (*allocator_free)(Allocator*, void*);
  Reserved reserved_77[1];
  Status* (*default_allocator)(Allocator**);
  Reserved reserved_79[13];
  void (*release_env)(Env*);
  void (*release_status)(Status*);
  void (*release_memory_info)(MemoryInfo*);
  void (*release_session)(Session*);
  void (*release_value)(Value*);
  Reserved reserved_97[1];
  void (*release_type_info)(TypeInfo*);
  Reserved reserved_99[1];
  void (*release_session_options)(SessionOptions*);
  Reserved reserved_101[29];
  Status* (*add_session_config)(SessionOptions*, const char* key, const char* value);
};

struct ApiBase {
  const Api* (*get_api)(std::uint32_t version);
  const char* (*version)();
};

constexpr std::uint32_t kApiVersion = 5;  // the oldest whose table reaches the last place above (release 1.5)

// X(name here, name in OrtApi, place)
#define EDGETUNE_ORT_PLACES(X)                                         \
  X(create_status, CreateStatus, 0)                                    \
  X(error_code, GetErrorCode, 1)                                       \
  X(error_message, GetErrorMessage, 2)                                 \
  X(create_env, CreateEnv, 3)                                          \
  X(disable_telemetry, DisableTelemetryEvents, 6)                      \
  X(create_session_from_array, CreateSessionFromArray, 8)              \
  X(run, Run, 9)                                                       \
  X(create_session_options, CreateSessionOptions, 10)                  \
  X(disable_memory_pattern, DisableMemPattern, 17)                     \
  X(disable_arena, DisableCpuMemArena, 19)                             \
  X(set_log_level, SetSessionLogSeverityLevel, 22)                     \
  X(set_graph_optimization, SetSessionGraphOptimizationLevel, 23)      \
  X(set_intra_op_threads, SetIntraOpNumThreads, 24)                    \
  X(set_inter_op_threads, SetInterOpNumThreads, 25)                    \
  X(input_count, SessionGetInputCount, 30)                             \
  X(output_count, SessionGetOutputCount, 31)                           \
  X(input_type, SessionGetInputTypeInfo, 33)                           \
  X(output_type, SessionGetOutputTypeInfo, 34)                         \
  X(input_name, SessionGetInputName, 36)                               \
  X(output_name, SessionGetOutputName, 37)                             \
  X(create_tensor, CreateTensorWithDataAsOrtValue, 49)                 \
  X(tensor_info, CastTypeInfoToTensorInfo, 55)                         \
  X(element_type, GetTensorElementType, 60)                            \
  X(dimension_count, GetDimensionsCount, 61)                           \
  X(dimensions, GetDimensions, 62)                                     \
  X(create_cpu_memory_info, CreateCpuMemoryInfo, 69)                   \
  X(allocator_free, AllocatorFree, 76)                                 \
  X(default_allocator, GetAllocatorWithDefaultOptions, 78)             \
  X(release_env, ReleaseEnv, 92)                                       \
  X(release_status, ReleaseStatus, 93)                                 \
  X(release_memory_info, ReleaseMemoryInfo, 94)                        \
  X(release_session, ReleaseSession, 95)                               \
  X(release_value, ReleaseValue, 96)                                   \
  X(release_type_info, ReleaseTypeInfo, 98)                            \
  X(release_session_options, ReleaseSessionOptions, 100)               \
  X(add_session_config, AddSessionConfigEntry, 130)

#define EDGETUNE_ORT_CHECK(here, there, place) \
  static_assert(offsetof(Api, here) == (place) * sizeof(void*), #here " is not at its place");
EDGETUNE_ORT_PLACES(EDGETUNE_ORT_CHECK)
#undef EDGETUNE_ORT_CHECK

}  // namespace edgetune::detail::ort
