// Counting a sample's x by comparison: half the time of counters in memory where nearly all x are near 0, which is
// where the medians put them. Noise, whose x are anywhere, takes longer than with counters; such blocks end up raw.

#ifndef LARDER_CASCADE_HISTOGRAM_AVX2_H
#define LARDER_CASCADE_HISTOGRAM_AVX2_H

#if defined(__x86_64__)

#include <immintrin.h>

#include "CascadeInternal.h"

#define LARDER_HISTOGRAM_INLINE static inline __attribute__((always_inline, target("avx2,bmi,bmi2,popcnt")))

enum {
  /// x from -16 to 15 are counted by comparison.
  LARDER_NEAR_FIRST = -16,
  LARDER_NEAR_COUNT = 32,
  /// Values compared in one pass over the sample: as many counters as stay in registers with what they are compared to.
  LARDER_NEAR_PASS = 8,
  /// Bytes of the sample after which a counter of 8 bits is emptied.
  LARDER_NEAR_PIECE_BYTES = 128 * 32,
};

/// The sum of 32 bytes.
LARDER_HISTOGRAM_INLINE uint32_t larder_byte_sum(__m256i v) {
  __m256i sums = _mm256_sad_epu8(v, _mm256_setzero_si256());
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  return (uint32_t)_mm_cvtsi128_si32(sum) + (uint32_t)_mm_extract_epi16(sum, 4);
}

/// Adds to the histogram how often each of eight values from `first` occurs.
LARDER_HISTOGRAM_INLINE void larder_count_near(const uint8_t *sample, size_t count, int first,
                                               uint32_t histogram[256]) {
  __m256i value[LARDER_NEAR_PASS], seen[LARDER_NEAR_PASS];
  for (int k = 0; k < LARDER_NEAR_PASS; k++) {
    value[k] = _mm256_set1_epi8((char)(first + k));
    seen[k] = _mm256_setzero_si256();
  }
  for (size_t i = 0; i < count; i += 32) {
    __m256i x = _mm256_loadu_si256((const __m256i *)(sample + i));
    for (int k = 0; k < LARDER_NEAR_PASS; k++) seen[k] = _mm256_sub_epi8(seen[k], _mm256_cmpeq_epi8(x, value[k]));
  }
  for (int k = 0; k < LARDER_NEAR_PASS; k++) histogram[(uint8_t)(first + k)] += larder_byte_sum(seen[k]);
}

/// `larder_histogram` with AVX2.
LARDER_HISTOGRAM_INLINE void larder_histogram_avx2(const uint8_t *sample, size_t count, uint32_t histogram[256]) {
  for (int x = 0; x < 256; x++) histogram[x] = 0;
  for (size_t i = 0; i < count; i += LARDER_NEAR_PIECE_BYTES) {
    size_t piece = count - i < LARDER_NEAR_PIECE_BYTES ? count - i : LARDER_NEAR_PIECE_BYTES;
    for (int k = 0; k < LARDER_NEAR_COUNT; k += LARDER_NEAR_PASS) {
      larder_count_near(sample + i, piece, LARDER_NEAR_FIRST + k, histogram);
    }
  }
  const __m256i offset = _mm256_set1_epi8(-LARDER_NEAR_FIRST), last = _mm256_set1_epi8(LARDER_NEAR_COUNT - 1);
  for (size_t i = 0; i < count; i += 32) {
    __m256i x = _mm256_add_epi8(_mm256_loadu_si256((const __m256i *)(sample + i)), offset);
    __m256i is_near = _mm256_cmpeq_epi8(_mm256_min_epu8(x, last), x);
    for (uint32_t far = ~(uint32_t)_mm256_movemask_epi8(is_near); far != 0; far &= far - 1) {
      histogram[sample[i + (size_t)__builtin_ctz(far)]]++;
    }
  }
}

#endif

#endif
