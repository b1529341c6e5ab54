// The model step: bases and ranks of a block from samples of it. Plain loops that compilers turn into vectors of
// whatever width the including kernel's functions are built for; every kernel gets the same numbers.

#ifndef LARDER_CASCADE_MODEL_H
#define LARDER_CASCADE_MODEL_H

#include <string.h>

#include "CascadeInternal.h"

enum {
  LARDER_MEDIAN_GROUPS = 4,
  LARDER_MEDIAN_ROWS = 16,
  /// Channels whose sampled exponents are held at a time: 16 rows of them stay in the L1 cache.
  LARDER_MEDIAN_CHANNELS = 256,
  LARDER_SAMPLE_PIECES_MAX = 32,
  LARDER_SAMPLE_MAX = LARDER_SAMPLE_PIECES_MAX * LARDER_CASCADE_GROUP_VALUES,
  /// x from the start of the window up to here can be ranked.
  LARDER_WINDOW = 15,
};

typedef void (*larder_histogram_function)(const uint8_t *sample, size_t count, uint32_t histogram[256]);

LARDER_INLINE void larder_exponents(int is_f16, const uint8_t *raw, size_t count, uint8_t *restrict out) {
  const int shift = is_f16 ? 10 : 7;
  const uint8_t mask = is_f16 ? 31 : 255;
  for (size_t i = 0; i < count; i++) {
    uint16_t u;
    memcpy(&u, raw + 2 * i, sizeof u);
    out[i] = (uint8_t)(u >> shift) & mask;
  }
}

#define LARDER_MIN(a, b) ((a) < (b) ? (a) : (b))
#define LARDER_MAX(a, b) ((a) < (b) ? (b) : (a))

#define LARDER_EXCHANGE(v, i, j)                              \
  do {                                                        \
    uint8_t a_ = (v)[i], b_ = (v)[j];                         \
    (v)[i] = LARDER_MIN(a_, b_), (v)[j] = LARDER_MAX(a_, b_); \
  } while (0)

/// Batcher's odd-even merge sort of eight. Spelled out: a loop would hide from the compiler that `v` fits registers.
LARDER_INLINE void larder_sort8(uint8_t v[8]) {
  LARDER_EXCHANGE(v, 0, 1); LARDER_EXCHANGE(v, 2, 3); LARDER_EXCHANGE(v, 4, 5); LARDER_EXCHANGE(v, 6, 7);
  LARDER_EXCHANGE(v, 0, 2); LARDER_EXCHANGE(v, 1, 3); LARDER_EXCHANGE(v, 4, 6); LARDER_EXCHANGE(v, 5, 7);
  LARDER_EXCHANGE(v, 1, 2); LARDER_EXCHANGE(v, 5, 6);
  LARDER_EXCHANGE(v, 0, 4); LARDER_EXCHANGE(v, 1, 5); LARDER_EXCHANGE(v, 2, 6); LARDER_EXCHANGE(v, 3, 7);
  LARDER_EXCHANGE(v, 2, 4); LARDER_EXCHANGE(v, 3, 5);
  LARDER_EXCHANGE(v, 1, 2); LARDER_EXCHANGE(v, 3, 4); LARDER_EXCHANGE(v, 5, 6);
}

/// The 9th smallest of 16.
LARDER_INLINE uint8_t larder_median16(const uint8_t in[16]) {
  uint8_t v[16];
  for (int i = 0; i < 16; i++) v[i] = in[i];
  larder_sort8(v);
  larder_sort8(v + 8);
  // Of two sorted eights, it is the least, over all ways to take nine from their fronts, of the greatest taken.
  uint8_t median = 255;
  for (int i = 0; i < 8; i++) {
    uint8_t greatest = LARDER_MAX(v[i], v[15 - i]);
    median = LARDER_MIN(median, greatest);
  }
  return median;
}

/// Sums of four medians of 16 sampled rows each, for `channels` channels from `first`; rounded, they are the bases.
LARDER_INLINE void larder_median_bases(int is_f16, const uint8_t *raw, size_t rows, uint32_t width, uint32_t first,
                                       uint32_t channels, uint8_t *restrict base) {
  uint8_t sampled[LARDER_MEDIAN_ROWS][LARDER_MEDIAN_CHANNELS];
  uint16_t sum[LARDER_MEDIAN_CHANNELS];
  for (uint32_t c = 0; c < LARDER_MEDIAN_CHANNELS; c++) sum[c] = LARDER_MEDIAN_GROUPS / 2;
  for (size_t group = 0; group < LARDER_MEDIAN_GROUPS; group++) {
    for (size_t i = 0; i < LARDER_MEDIAN_ROWS; i++) {
      size_t row = (LARDER_MEDIAN_ROWS * group + i) * rows / (LARDER_MEDIAN_GROUPS * LARDER_MEDIAN_ROWS);
      larder_exponents(is_f16, raw + 2 * (row * width + first), channels, sampled[i]);
    }
    for (uint32_t c = 0; c < channels; c++) {
      uint8_t v[LARDER_MEDIAN_ROWS];
      for (int i = 0; i < LARDER_MEDIAN_ROWS; i++) v[i] = sampled[i][c];
      sum[c] = (uint16_t)(sum[c] + larder_median16(v));
    }
  }
  for (uint32_t c = 0; c < channels; c++) base[c] = (uint8_t)(sum[c] / LARDER_MEDIAN_GROUPS);
}

/// Collects the x of up to 32 evenly spaced groups of 256 values. Returns how many there are.
LARDER_INLINE size_t larder_sample(int is_f16, const uint8_t *raw, size_t n, const uint8_t *bases, uint32_t period,
                                   uint8_t sample[LARDER_SAMPLE_MAX]) {
  const size_t groups = n / LARDER_CASCADE_GROUP_VALUES;
  const size_t pieces = LARDER_MIN(groups, (size_t)LARDER_SAMPLE_PIECES_MAX);
  for (size_t piece = 0; piece < pieces; piece++) {
    size_t first = piece * groups / pieces * LARDER_CASCADE_GROUP_VALUES;
    size_t channel = first % period;
    uint8_t *x = sample + piece * LARDER_CASCADE_GROUP_VALUES;
    larder_exponents(is_f16, raw + 2 * first, LARDER_CASCADE_GROUP_VALUES, x);
    for (size_t i = 0; i < LARDER_CASCADE_GROUP_VALUES; i += 64) {
      for (size_t j = 0; j < 64; j++) x[i + j] = (uint8_t)(x[i + j] - bases[channel + j]);
      channel += 64;
      if (channel >= period) channel -= period;
    }
  }
  return pieces * LARDER_CASCADE_GROUP_VALUES;
}

/// Counts each x of a sample, whose size is a multiple of 256.
LARDER_INLINE void larder_histogram(const uint8_t *sample, size_t count, uint32_t histogram[256]) {
  // Several counts of each x, as an increment waits for the last one of the same counter. Words of 32 bits: of 16
  // they take 1.6 times as long.
  enum { LANES = 4 };
  uint32_t counts[LANES][256];
  memset(counts, 0, sizeof counts);
  for (size_t i = 0; i < count; i += LANES) {
    for (size_t lane = 0; lane < LANES; lane++) counts[lane][sample[i + lane]]++;
  }
  for (size_t x = 0; x < 256; x++) histogram[x] = counts[0][x] + counts[1][x] + counts[2][x] + counts[3][x];
}

/// The start, from -128 to 127 as a wrapping byte, of the window that holds most; the first of equals.
LARDER_INLINE uint8_t larder_best_window(const uint32_t histogram[256]) {
  unsigned count = 0;
  for (unsigned x = 128; x < 128 + LARDER_WINDOW; x++) count += histogram[x];
  unsigned best_count = count;
  uint8_t best = 128;
  for (unsigned start = 129; start < 128 + 256; start++) {
    count += histogram[(start + LARDER_WINDOW - 1) & 255];
    count -= histogram[(start - 1) & 255];
    if (count > best_count) {
      best_count = count;
      best = (uint8_t)start;
    }
  }
  return best;
}

/// Ranks the x of the window by how often they were seen.
LARDER_INLINE void larder_rank(const uint32_t histogram[256], uint8_t start, uint8_t ranked_x[12],
                               uint8_t rank_of_x[16]) {
  unsigned key[LARDER_WINDOW];
  // The complement of x in the low bits settles ties in favour of the smaller x.
  for (unsigned x = 0; x < LARDER_WINDOW; x++) key[x] = histogram[(uint8_t)(start + x)] * 16u + (15u - x);
  rank_of_x[LARDER_X_CLAMP] = LARDER_RANKED;
  for (unsigned x = 0; x < LARDER_WINDOW; x++) {
    unsigned rank = 0;
    for (unsigned y = 0; y < LARDER_WINDOW; y++) rank += key[y] > key[x];
    rank_of_x[x] = (uint8_t)LARDER_MIN(rank, (unsigned)LARDER_RANKED);
    if (rank < LARDER_RANKED) ranked_x[rank] = (uint8_t)x;
  }
}

/// The whole step, given the kernel's way to take a histogram.
LARDER_INLINE void larder_model_body(int is_f16, const uint8_t *raw, size_t n, uint32_t width, uint8_t *base,
                                     uint8_t ranked_x[12], uint8_t rank_of_x[16], larder_histogram_function count_x) {
  const size_t rows = n / width;
  for (uint32_t first = 0; first < width; first += LARDER_MEDIAN_CHANNELS) {
    uint32_t channels = LARDER_MIN(width - first, (uint32_t)LARDER_MEDIAN_CHANNELS);
    larder_median_bases(is_f16, raw, rows, width, first, channels, base + first);
  }
  uint8_t bases[LARDER_CASCADE_MAX_BASES_BYTES];
  uint8_t sample[LARDER_SAMPLE_MAX];
  uint32_t histogram[256];
  uint32_t period = larder_bases_extend(base, width, bases);
  count_x(sample, larder_sample(is_f16, raw, n, bases, period, sample), histogram);

  uint8_t start = larder_best_window(histogram);
  for (uint32_t c = 0; c < width; c++) base[c] = (uint8_t)(base[c] + start);
  larder_rank(histogram, start, ranked_x, rank_of_x);
}

#endif
