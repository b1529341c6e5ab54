// What the kernels share: their tables, and the two small tables that each call derives from the ranks.

#ifndef LARDER_CASCADE_INTERNAL_H
#define LARDER_CASCADE_INTERNAL_H

#include "CLarderKernels.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "values are stored little-endian and loaded as they are"
#endif

#define LARDER_INLINE static inline __attribute__((always_inline))
#define LARDER_HIDDEN __attribute__((visibility("hidden")))

enum {
  LARDER_RANKED = 12,
  LARDER_X_CLAMP = 15,
  LARDER_RANKS_PER_LEVEL = 3,
  LARDER_ESCAPE = 3,
};

#if defined(__x86_64__)
LARDER_HIDDEN extern const larder_cascade_kernel larder_cascade_avx512vbmi2;
LARDER_HIDDEN extern const larder_cascade_kernel larder_cascade_avx2;
#endif
#if defined(__x86_64__) || defined(__aarch64__)
LARDER_HIDDEN extern const larder_cascade_kernel larder_cascade_vector16;
#endif

/// Byte k of entry m: the position of the k-th set bit of m. A byte shuffle by it moves the marked bytes of eight
/// to the front. Bytes past the number of set bits are 0.
LARDER_HIDDEN extern const uint64_t larder_compact_shuffle[256];

/// Byte j of entry m: how many bits of m are set below j, if bit j is set; else 0x80, which a byte shuffle turns
/// into 0. A byte shuffle by it moves the first bytes of eight to the marked places.
LARDER_HIDDEN extern const uint64_t larder_expand_shuffle[256];

/// The code that `level` gives to each clamped x.
LARDER_INLINE void larder_code_of_x(int level, const uint8_t rank_of_x[16], uint8_t code_of_x[16]) {
  for (int x = 0; x < 16; x++) {
    // Ranks of earlier levels wrap to large numbers here, so they escape as later ones do.
    unsigned code = (unsigned)rank_of_x[x] - (unsigned)(LARDER_RANKS_PER_LEVEL * level);
    code_of_x[x] = code < LARDER_ESCAPE ? (uint8_t)code : LARDER_ESCAPE;
  }
}

/// The x of each code of `level`, indexed by the code and by four times the code, so that a decoder need not shift
/// every second code down before its shuffle. 0 for escapes, which are or-ed in.
LARDER_INLINE void larder_x_of_code(int level, const uint8_t x_of_rank[16], uint8_t x_of_code[16]) {
  for (int i = 0; i < 16; i++) x_of_code[i] = 0;
  for (int code = 0; code < LARDER_ESCAPE; code++) {
    x_of_code[code] = x_of_code[4 * code] = x_of_rank[LARDER_RANKS_PER_LEVEL * level + code];
  }
}

#endif
