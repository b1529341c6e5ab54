// The public side of CRC32C: picks an implementation once and remembers it.

#include "CRC32CInternal.h"

#include <stdatomic.h>

static const larder_crc32c_implementation *choose(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul")) {
    int is_wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("vpclmulqdq");
    return is_wide ? &larder_crc32c_folded : &larder_crc32c_sse42;
  }
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
  return &larder_crc32c_armv8;
#endif
  return &larder_crc32c_sliced;
}

static const larder_crc32c_implementation *chosen(void) {
  // Threads that race here all store the same pointer, and what it points to is constant: relaxed order is enough.
  static _Atomic(const larder_crc32c_implementation *) cache;
  const larder_crc32c_implementation *implementation = atomic_load_explicit(&cache, memory_order_relaxed);
  if (implementation == NULL) {
    implementation = choose();
    atomic_store_explicit(&cache, implementation, memory_order_relaxed);
  }
  return implementation;
}

uint32_t larder_crc32c(uint32_t crc, const void *p, size_t n) { return chosen()->sum(crc, p, n); }

uint32_t larder_crc32c_copy(uint32_t crc, void *dst, const void *src, size_t n) {
  return chosen()->copy(crc, dst, src, n);
}

uint32_t larder_crc32c_software(uint32_t crc, const void *p, size_t n) { return larder_crc32c_sliced.sum(crc, p, n); }

const char *larder_crc32c_name(void) { return chosen()->name; }
