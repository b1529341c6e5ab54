// Which kernels this machine can run, and the table of bases that they all read.

#include "CascadeInternal.h"

#include <string.h>

#if defined(__x86_64__)

static int has_avx512vbmi2(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
         __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx2");
}

static int has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("popcnt");
}

const larder_cascade_kernel *larder_cascade_kernel_at(size_t index) {
  // Asked anew each time: it is a few loads and bit tests, and needs no lock. The system's consent to wide
  // registers is part of the answer.
  const larder_cascade_kernel *kernels[3];
  size_t count = 0;
  if (has_avx512vbmi2()) kernels[count++] = &larder_cascade_avx512vbmi2;
  if (has_avx2()) kernels[count++] = &larder_cascade_avx2;
  if (__builtin_cpu_supports("ssse3") && __builtin_cpu_supports("popcnt")) kernels[count++] = &larder_cascade_vector16;
  return index < count ? kernels[index] : NULL;
}

#elif defined(__aarch64__)

const larder_cascade_kernel *larder_cascade_kernel_at(size_t index) {
  return index == 0 ? &larder_cascade_vector16 : NULL;
}

#else

const larder_cascade_kernel *larder_cascade_kernel_at(size_t index) {
  (void)index;
  return NULL;
}

#endif

uint32_t larder_bases_extend(const uint8_t *base, uint32_t width, uint8_t *out) {
  const uint32_t period = width >= 64 ? width : (64 + width - 1) / width * width;
  // The table is its own source beyond the first width: doubled each time, whatever the width.
  const uint32_t length = period + 64;
  memcpy(out, base, width);
  for (uint32_t filled = width; filled < length;) {
    uint32_t more = filled < length - filled ? filled : length - filled;
    memcpy(out + filled, out, more);
    filled += more;
  }
  return period;
}
