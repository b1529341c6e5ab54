// The kernel of the cascade for machines with nothing wider than 16 bytes: SSSE3, and NEON on ARM.
//
// A group of 128 codes is eight vectors: two to a quarter, which is what shares the bits of 32 bytes.

#include "CascadeInternal.h"

#if defined(__x86_64__) || defined(__aarch64__)

#include "CascadeModel.h"
#include "Vector16.h"

enum { VECTORS = 8 };

// MARK: Encoding

/// Appends the marked bytes of `x`; scribbles on up to eight bytes past them.
VECTOR16_INLINE uint8_t *compact16(bytes16 x, uint32_t marks, uint8_t *out) {
  // A half at a time by table; the second half's entries count from byte 8.
  const halves2 shuffle = {larder_compact_shuffle[marks & 0xFF],
                           larder_compact_shuffle[marks >> 8] | 0x0808080808080808};
  x = shuffle16(x, (bytes16)shuffle);
  store_half(out, x, 0);
  store_half(out + popcount32(marks & 0xFF), x, 1);
  return out + popcount32(marks);
}

VECTOR16_INLINE bytes16 encode_table_make(int level, const uint8_t rank_of_x[16]) {
  uint8_t code_of_x[16];
  larder_code_of_x(level, rank_of_x, code_of_x);
  return load16(code_of_x);
}

/// Codes 128 x, of which `count` are real. Returns the end of the escapes.
VECTOR16_INLINE uint8_t *encode_group(const bytes16 x[VECTORS], size_t count, bytes16 code_of_x, uint8_t *codes,
                                      uint8_t *escapes) {
  bytes16 packed[2] = {splat16(0), splat16(0)};
  for (int i = 0; i < VECTORS; i++) {
    bytes16 code = shuffle16(code_of_x, min16(x[i], splat16(LARDER_X_CLAMP)));
    if (count < LARDER_CASCADE_CODE_GROUP) code &= bytes_below(count, 16 * i);
    // Two bits never cross a byte, so words can be shifted; bytes cannot on x86.
    packed[i & 1] |= (bytes16)((words8)code << (2 * (i / 2)));
    escapes = compact16(x[i], bits16((bytes16)(code == splat16(LARDER_ESCAPE))), escapes);
  }
  store16(codes, packed[0]);
  store16(codes + 16, packed[1]);
  return escapes;
}

VECTOR16 static size_t encode_level(int level, const uint8_t *x, size_t count, const uint8_t rank_of_x[16],
                                    uint8_t *codes, uint8_t *escapes) {
  const bytes16 code_of_x = encode_table_make(level, rank_of_x);
  uint8_t *end = escapes;
  bytes16 group[VECTORS];
  for (; count >= LARDER_CASCADE_CODE_GROUP; count -= LARDER_CASCADE_CODE_GROUP) {
    for (int i = 0; i < VECTORS; i++) group[i] = load16(x + 16 * i);
    end = encode_group(group, LARDER_CASCADE_CODE_GROUP, code_of_x, codes, end);
    x += LARDER_CASCADE_CODE_GROUP;
    codes += 32;
  }
  if (count > 0) {
    for (int i = 0; i < VECTORS; i++) group[i] = load16(x + 16 * i);
    end = encode_group(group, count, code_of_x, codes, end);
  }
  return (size_t)(end - escapes);
}

/// Rotates 16 values left by one and parts their bytes.
VECTOR16_INLINE void split16(const uint8_t *raw, bytes16 *lo, bytes16 *hi) {
  words8 a = (words8)load16(raw), b = (words8)load16(raw + 16);
  a = a << 1 | a >> 15;
  b = b << 1 | b >> 15;
  *lo = low_bytes(a, b);
  *hi = high_bytes(a, b);
}

/// Packs the three raw bits of 256 f16 values, one value a byte, into 96 bytes. `h` holds the halves of the format's
/// 32-byte vectors in turn.
VECTOR16_INLINE void pack_h3(const bytes16 h[2 * VECTORS], uint8_t *out) {
  for (int half = 0; half < 2; half++) {
    const bytes16 *v = h + half;
    store16(out + 16 * half, v[0] | v[6] << 3 | v[12] << 6);
    store16(out + 16 * half + 32, v[2] | v[8] << 3 | v[14] << 6);
    store16(out + 16 * half + 64, v[4] | v[10] << 3 | (v[12] & 4) << 4 | (v[14] & 4) << 5);
  }
}

VECTOR16_INLINE size_t encode0_body(int is_f16, const uint8_t *raw, size_t n, const uint8_t *bases, uint32_t width,
                                    const uint8_t rank_of_x[16], uint8_t *lo, uint8_t *hi3, uint8_t *codes,
                                    uint8_t *escapes) {
  const bytes16 code_of_x = encode_table_make(0, rank_of_x);
  uint8_t *end = escapes;
  uint32_t channel = 0;
  for (size_t i = 0; i < n; i += LARDER_CASCADE_GROUP_VALUES) {
    bytes16 h[2 * VECTORS];
    for (int half = 0; half < 2; half++) {
      bytes16 x[VECTORS];
      for (int j = 0; j < VECTORS; j++) {
        bytes16 low, e;
        split16(raw, &low, &e);
        store16(lo, low);
        raw += 32;
        lo += 16;
        if (is_f16) {
          h[VECTORS * half + j] = e & 7;
          e >>= 3;
        }
        x[j] = e - load16(bases + channel);
        channel += 16;
        if (channel >= width) channel -= width;
      }
      end = encode_group(x, LARDER_CASCADE_CODE_GROUP, code_of_x, codes, end);
      codes += 32;
    }
    if (is_f16) {
      pack_h3(h, hi3);
      hi3 += 96;
    }
  }
  return (size_t)(end - escapes);
}

VECTOR16 static size_t encode0(int is_f16, const uint8_t *raw, size_t n, const uint8_t *bases, uint32_t width,
                               const uint8_t rank_of_x[16], uint8_t *lo, uint8_t *hi3, uint8_t *codes,
                               uint8_t *escapes) {
  return is_f16 ? encode0_body(1, raw, n, bases, width, rank_of_x, lo, hi3, codes, escapes)
                : encode0_body(0, raw, n, bases, width, rank_of_x, lo, hi3, codes, escapes);
}

// MARK: Decoding

/// Puts the next escapes into the marked bytes, 0 elsewhere.
VECTOR16_INLINE bytes16 expand16(uint32_t marks, const uint8_t *escapes) {
  // The second half's entries count from what the first half eats; bit 7 of the unmarked survives the addition.
  uint32_t first = popcount32(marks & 0xFF);
  const halves2 shuffle = {larder_expand_shuffle[marks & 0xFF],
                           larder_expand_shuffle[marks >> 8] + first * 0x0101010101010101};
  return shuffle16(load16(escapes), (bytes16)shuffle);
}

/// Decodes 128 codes, of which `count` are real: what the padding says is not believed. Returns the next escape.
VECTOR16_INLINE const uint8_t *decode_group(const uint8_t *codes, size_t count, bytes16 x_of_code,
                                            const uint8_t *escapes, bytes16 x[VECTORS]) {
  const bytes16 packed[2] = {load16(codes), load16(codes + 16)};
  for (int i = 0; i < VECTORS; i++) {
    bytes16 code = (bytes16)((words8)packed[i & 1] >> (2 * (i / 2))) & LARDER_ESCAPE;
    bytes16 escaped = (bytes16)(code == splat16(LARDER_ESCAPE));
    if (count < LARDER_CASCADE_CODE_GROUP) escaped &= bytes_below(count, 16 * i);
    uint32_t marks = bits16(escaped);
    x[i] = shuffle16(x_of_code, code) | expand16(marks, escapes);
    escapes += popcount32(marks);
  }
  return escapes;
}

VECTOR16_INLINE bytes16 decode_table_make(int level, const uint8_t x_of_rank[16]) {
  uint8_t x_of_code[16];
  larder_x_of_code(level, x_of_rank, x_of_code);
  return load16(x_of_code);
}

VECTOR16 static size_t decode_level(int level, const uint8_t *codes, size_t count, const uint8_t *escapes,
                                    const uint8_t x_of_rank[16], uint8_t *x) {
  const bytes16 x_of_code = decode_table_make(level, x_of_rank);
  const uint8_t *next = escapes;
  bytes16 group[VECTORS];
  for (; count >= LARDER_CASCADE_CODE_GROUP; count -= LARDER_CASCADE_CODE_GROUP) {
    next = decode_group(codes, LARDER_CASCADE_CODE_GROUP, x_of_code, next, group);
    for (int i = 0; i < VECTORS; i++) store16(x + 16 * i, group[i]);
    x += LARDER_CASCADE_CODE_GROUP;
    codes += 32;
  }
  if (count > 0) {
    next = decode_group(codes, count, x_of_code, next, group);
    for (int i = 0; i < VECTORS; i++) store16(x + 16 * i, group[i]);
  }
  return (size_t)(next - escapes);
}

/// Joins the bytes of 16 values and rotates them back.
VECTOR16_INLINE void join16(bytes16 lo, bytes16 hi, uint8_t *raw) {
  words8 a = words_of_first(lo, hi), b = words_of_last(lo, hi);
  store16(raw, (bytes16)(a >> 1 | a << 15));
  store16(raw + 16, (bytes16)(b >> 1 | b << 15));
}

VECTOR16_INLINE void unpack_h3(const uint8_t *in, bytes16 h[2 * VECTORS]) {
  for (int half = 0; half < 2; half++) {
    bytes16 *v = h + half;
    bytes16 p0 = load16(in + 16 * half), p1 = load16(in + 16 * half + 32), p2 = load16(in + 16 * half + 64);
    v[0] = p0 & 7, v[6] = p0 >> 3 & 7, v[12] = p0 >> 6 | (p2 >> 4 & 4);
    v[2] = p1 & 7, v[8] = p1 >> 3 & 7, v[14] = p1 >> 6 | (p2 >> 5 & 4);
    v[4] = p2 & 7, v[10] = p2 >> 3 & 7;
  }
}

VECTOR16_INLINE size_t decode0_body(int is_f16, const uint8_t *lo, const uint8_t *hi3, const uint8_t *codes, size_t n,
                                    const uint8_t *escapes, const uint8_t *bases, uint32_t width,
                                    const uint8_t x_of_rank[16], uint8_t *raw) {
  const bytes16 x_of_code = decode_table_make(0, x_of_rank);
  const uint8_t *next = escapes;
  uint32_t channel = 0;
  for (size_t i = 0; i < n; i += LARDER_CASCADE_GROUP_VALUES) {
    bytes16 h[2 * VECTORS];
    if (is_f16) {
      unpack_h3(hi3, h);
      hi3 += 96;
    }
    for (int half = 0; half < 2; half++) {
      bytes16 x[VECTORS];
      next = decode_group(codes, LARDER_CASCADE_CODE_GROUP, x_of_code, next, x);
      codes += 32;
      for (int j = 0; j < VECTORS; j++) {
        bytes16 hi = x[j] + load16(bases + channel);
        channel += 16;
        if (channel >= width) channel -= width;
        if (is_f16) hi = hi << 3 | h[VECTORS * half + j];
        join16(load16(lo), hi, raw);
        lo += 16;
        raw += 32;
      }
    }
  }
  return (size_t)(next - escapes);
}

VECTOR16 static size_t decode0(int is_f16, const uint8_t *lo, const uint8_t *hi3, const uint8_t *codes, size_t n,
                               const uint8_t *escapes, const uint8_t *bases, uint32_t width,
                               const uint8_t x_of_rank[16], uint8_t *raw) {
  return is_f16 ? decode0_body(1, lo, hi3, codes, n, escapes, bases, width, x_of_rank, raw)
                : decode0_body(0, lo, hi3, codes, n, escapes, bases, width, x_of_rank, raw);
}

VECTOR16 static void model(int is_f16, const uint8_t *raw, size_t n, uint32_t width, uint8_t *base,
                           uint8_t ranked_x[12], uint8_t rank_of_x[16]) {
  larder_model_body(is_f16, raw, n, width, base, ranked_x, rank_of_x, larder_histogram);
}

const larder_cascade_kernel larder_cascade_vector16 = {
    .name = "vector16",
    .encode0 = encode0,
    .encode_level = encode_level,
    .decode_level = decode_level,
    .decode0 = decode0,
    .model = model,
};

#endif
