// A 16-byte vector with what the cascade needs, in the compilers' own vector types; only the byte shuffle, the
// minimum and the bit mask have to be said differently on x86 (SSSE3) and on ARM (NEON).

#ifndef LARDER_VECTOR16_H
#define LARDER_VECTOR16_H

#include <string.h>

#include "CascadeInternal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define VECTOR16 __attribute__((target("ssse3,popcnt")))
#define VECTOR16_INLINE static inline __attribute__((always_inline, target("ssse3,popcnt")))
#else
#include <arm_neon.h>
#define VECTOR16
#define VECTOR16_INLINE static inline __attribute__((always_inline))
#endif

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint16_t words8 __attribute__((vector_size(16)));
typedef uint64_t halves2 __attribute__((vector_size(16)));

VECTOR16_INLINE bytes16 load16(const uint8_t *p) {
  bytes16 v;
  memcpy(&v, p, sizeof v);
  return v;
}

VECTOR16_INLINE void store16(uint8_t *p, bytes16 v) { memcpy(p, &v, sizeof v); }

VECTOR16_INLINE void store_half(uint8_t *p, bytes16 v, int half) {
  uint64_t word = ((halves2)v)[half];
  memcpy(p, &word, sizeof word);
}

VECTOR16_INLINE bytes16 splat16(uint8_t byte) {
  return (bytes16){byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte};
}

/// The low bytes of 16 words.
VECTOR16_INLINE bytes16 low_bytes(words8 a, words8 b) {
  return __builtin_shufflevector((bytes16)a, (bytes16)b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}

VECTOR16_INLINE bytes16 high_bytes(words8 a, words8 b) {
  return __builtin_shufflevector((bytes16)a, (bytes16)b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}

/// Words of the first eight bytes, and of the last eight, of `lo` and `hi`.
VECTOR16_INLINE words8 words_of_first(bytes16 lo, bytes16 hi) {
  return (words8)__builtin_shufflevector(lo, hi, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

VECTOR16_INLINE words8 words_of_last(bytes16 lo, bytes16 hi) {
  return (words8)__builtin_shufflevector(lo, hi, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/// Byte i becomes `table[index[i]]` for indices to 15, and 0 for indices from 128. Others differ between machines.
VECTOR16_INLINE bytes16 shuffle16(bytes16 table, bytes16 index) {
#if defined(__x86_64__)
  return (bytes16)_mm_shuffle_epi8((__m128i)table, (__m128i)index);
#else
  return (bytes16)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)index);
#endif
}

VECTOR16_INLINE bytes16 min16(bytes16 a, bytes16 b) {
#if defined(__x86_64__)
  return (bytes16)_mm_min_epu8((__m128i)a, (__m128i)b);
#else
  return (bytes16)vminq_u8((uint8x16_t)a, (uint8x16_t)b);
#endif
}

/// Bit i of the result: whether byte i of `marks` is 0xFF; the others are 0.
VECTOR16_INLINE uint32_t bits16(bytes16 marks) {
#if defined(__x86_64__)
  return (uint32_t)_mm_movemask_epi8((__m128i)marks);
#else
  const bytes16 weight = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  uint8x16_t weighed = (uint8x16_t)(marks & weight);
  return (uint32_t)vaddv_u8(vget_low_u8(weighed)) | (uint32_t)vaddv_u8(vget_high_u8(weighed)) << 8;
#endif
}

VECTOR16_INLINE uint32_t popcount32(uint32_t bits) { return (uint32_t)__builtin_popcount(bits); }

/// 0xFF in the bytes whose number, counted from `first`, is below `count`; all of these numbers are below 128.
VECTOR16_INLINE bytes16 bytes_below(size_t count, int first) {
  const bytes16 number = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return (bytes16)(number + splat16((uint8_t)first) < splat16((uint8_t)count));
}

#endif
