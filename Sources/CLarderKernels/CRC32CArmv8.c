// CRC32C by the instructions of ARMv8.1, where the compiler may assume them.

#include "CRC32CInternal.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)

#include <arm_acle.h>

LARDER_INLINE uint32_t body(uint32_t crc, uint8_t *dst, const uint8_t *src, size_t n, int is_copy) {
  crc = ~crc;
  size_t i = 0;
  for (; n - i >= 8; i += 8) crc = __crc32cd(crc, larder_take64(src, dst, i, is_copy));
  for (; i < n; i++) crc = __crc32cb(crc, larder_take8(src, dst, i, is_copy));
  return ~crc;
}

static uint32_t sum(uint32_t crc, const uint8_t *p, size_t n) { return body(crc, NULL, p, n, 0); }

static uint32_t copy(uint32_t crc, uint8_t *dst, const uint8_t *src, size_t n) { return body(crc, dst, src, n, 1); }

const larder_crc32c_implementation larder_crc32c_armv8 = {.name = "armv8 crc32c", .sum = sum, .copy = copy};

#endif
