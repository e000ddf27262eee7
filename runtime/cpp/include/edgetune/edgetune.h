/* The same as edgetune.hpp for C, and for whatever calls C. Every function returns an EDGETUNE_ code and never throws;
 * edgetune_last_error() says what was wrong with the last call that failed in this thread. */
#ifndef EDGETUNE_EDGETUNE_H
#define EDGETUNE_EDGETUNE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define EDGETUNE_C_EXPORT __attribute__((visibility("default")))
#else
#define EDGETUNE_C_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum {
  EDGETUNE_OK = 0,
  EDGETUNE_BUNDLE_ERROR = 1,  /* damaged, altered, unsafe or unknown bundle */
  EDGETUNE_INPUT_ERROR = 2,   /* a picture, array or option that does not fit, a null pointer */
  EDGETUNE_BACKEND_ERROR = 3, /* ONNX Runtime or TensorRT cannot be loaded, or failed */
  EDGETUNE_OTHER_ERROR = 4    /* out of memory */
};

typedef struct edgetune_engine edgetune_engine;

typedef struct edgetune_options {
  const char* onnxruntime; /* path of libonnxruntime; NULL: $EDGETUNE_ONNXRUNTIME, else the loader's own search */
  int32_t threads;         /* of one inference; 0: what the bundle was measured with */
  int32_t no_verify;       /* not 0: do not hold the files against their digests */
  int32_t no_self_test;    /* not 0: do not run the golden inputs */
  const char* tensorrt_plan; /* of a bundle for TensorRT: an engine built on this device; NULL: the bundle's own */
} edgetune_options;

typedef struct edgetune_prediction {
  size_t index;
  const char* label; /* UTF-8, valid as long as the engine */
  double probability;
} edgetune_prediction;

/* Never NULL; valid until the next call in this thread. */
EDGETUNE_C_EXPORT const char* edgetune_last_error(void);

/* Opens a folder or a .tar; options may be NULL. *engine is NULL when it fails. */
EDGETUNE_C_EXPORT int edgetune_open(const char* bundle, const edgetune_options* options, edgetune_engine** engine);
EDGETUNE_C_EXPORT void edgetune_close(edgetune_engine* engine);

EDGETUNE_C_EXPORT size_t edgetune_label_count(const edgetune_engine* engine);
EDGETUNE_C_EXPORT const char* edgetune_label(const edgetune_engine* engine, size_t index); /* NULL: no such label */
EDGETUNE_C_EXPORT size_t edgetune_input_height(const edgetune_engine* engine);
EDGETUNE_C_EXPORT size_t edgetune_input_width(const edgetune_engine* engine);

/* 1: the engine takes pixels, uint8 [N, H, W, 3], and normalises them; 0: float32 [N, 3, H, W]. */
EDGETUNE_C_EXPORT int edgetune_takes_pixels(const edgetune_engine* engine);

/* RGB bytes, `stride` from row to row (0: 3 * width) -> float32 [3, H, W]; `room` is the number of floats in `values`. */
EDGETUNE_C_EXPORT int edgetune_preprocess(const edgetune_engine* engine, const uint8_t* pixels, size_t width,
                                          size_t height, size_t stride, float* values, size_t room);

/* The same for an engine that takes pixels: uint8 [H, W, 3]; `room` is the number of bytes in `values`. */
EDGETUNE_C_EXPORT int edgetune_preprocess_pixels(const edgetune_engine* engine, const uint8_t* pixels, size_t width,
                                                 size_t height, size_t stride, uint8_t* values, size_t room);

/* float32 [count, 3, H, W] -> logits float32 [count, K]; `room` is the number of floats in `logits`. */
EDGETUNE_C_EXPORT int edgetune_run(const edgetune_engine* engine, const float* inputs, size_t count, float* logits,
                                   size_t room);

/* The same for an engine that takes pixels: uint8 [count, H, W, 3]. */
EDGETUNE_C_EXPORT int edgetune_run_pixels(const edgetune_engine* engine, const uint8_t* inputs, size_t count,
                                          float* logits, size_t room);

/* The most probable labels of one picture, best first; *count is the room in `best` and becomes the number written. */
EDGETUNE_C_EXPORT int edgetune_predict(const edgetune_engine* engine, const uint8_t* pixels, size_t width,
                                       size_t height, size_t stride, edgetune_prediction* best, size_t* count);

/* Runs the golden inputs; *difference (may be NULL) is the largest difference of an output. */
EDGETUNE_C_EXPORT int edgetune_self_test(const edgetune_engine* engine, double* difference);

#ifdef __cplusplus
}
#endif

#endif
