// The implementations of CRC32C among which CRC32C.c chooses. All take and return the finished value, inversions
// included, so that each can continue where another stopped.

#ifndef LARDER_CRC32C_INTERNAL_H
#define LARDER_CRC32C_INTERNAL_H

#include <string.h>

#include "CascadeInternal.h"

typedef struct larder_crc32c_implementation {
  const char *name;
  uint32_t (*sum)(uint32_t crc, const uint8_t *p, size_t n);
  uint32_t (*copy)(uint32_t crc, uint8_t *dst, const uint8_t *src, size_t n);
} larder_crc32c_implementation;

LARDER_HIDDEN extern const larder_crc32c_implementation larder_crc32c_sliced;
#if defined(__x86_64__)
LARDER_HIDDEN extern const larder_crc32c_implementation larder_crc32c_sse42;
LARDER_HIDDEN extern const larder_crc32c_implementation larder_crc32c_folded;
#endif
#if defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
LARDER_HIDDEN extern const larder_crc32c_implementation larder_crc32c_armv8;
#endif

LARDER_INLINE uint64_t larder_load64(const uint8_t *p) {
  uint64_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

/// Loads the word at offset `i` and, for the copying variants, stores it. Where nothing is copied `dst` may be NULL.
LARDER_INLINE uint64_t larder_take64(const uint8_t *src, uint8_t *dst, size_t i, int is_copy) {
  uint64_t word = larder_load64(src + i);
  if (is_copy) memcpy(dst + i, &word, sizeof word);
  return word;
}

/// As `larder_take64`, for a byte.
LARDER_INLINE uint8_t larder_take8(const uint8_t *src, uint8_t *dst, size_t i, int is_copy) {
  uint8_t byte = src[i];
  if (is_copy) dst[i] = byte;
  return byte;
}

#endif
