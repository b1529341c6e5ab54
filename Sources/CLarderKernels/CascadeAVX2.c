// The AVX2 kernel of the cascade: 32 values at a time, AVX2 being all it needs besides POPCNT.
//
// Two steps have no instruction here. Compaction of the escapes is a byte shuffle of eight by a table of 256: with
// BMI2's pext encoding takes 1.2 times as long on Zen 3 (and pext is microcode on Zen 1 and 2). Expansion computes its
// shuffle from a prefix sum over the escape marks: with a table of shuffles decoding takes 1.4 times as long.

#include "CascadeInternal.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "CascadeHistogramAVX2.h"
#include "CascadeModel.h"

#define AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define AVX2_INLINE static inline __attribute__((always_inline, target("avx2,bmi,bmi2,popcnt")))

AVX2_INLINE __m256i load32(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
AVX2_INLINE void store32(uint8_t *p, __m256i v) { _mm256_storeu_si256((__m256i *)p, v); }
AVX2_INLINE __m256i load16_both(const uint8_t *p) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
}

/// 16 bytes from each of two places, as the two lanes.
AVX2_INLINE __m256i load_lanes(const uint8_t *low, const uint8_t *high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low)),
                                 _mm_loadu_si128((const __m128i *)high), 1);
}

/// Ones in the bytes whose number, counted from `first`, is below `count` (at most 127).
AVX2_INLINE __m256i bytes_below(size_t count, int first) {
  const __m256i number = _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                          22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
  return _mm256_cmpgt_epi8(_mm256_set1_epi8((char)((int)count - first)), number);
}

// MARK: Encoding

/// Two entries of the compaction table side by side, for the two halves of a lane.
AVX2_INLINE __m128i compact_pair(uint32_t low, uint32_t high) {
  __m128i shuffle = _mm_loadl_epi64((const __m128i *)&larder_compact_shuffle[low]);
  return _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(shuffle), (const __m64 *)&larder_compact_shuffle[high]));
}

/// Appends the marked bytes of `x`; scribbles on up to seven bytes past them.
AVX2_INLINE uint8_t *compact32(__m256i x, uint32_t marks, uint8_t *out) {
  __m256i shuffle = _mm256_inserti128_si256(_mm256_castsi128_si256(compact_pair(marks & 0xFF, marks >> 8 & 0xFF)),
                                            compact_pair(marks >> 16 & 0xFF, marks >> 24), 1);
  const __m256i half = _mm256_setr_epi64x(0, 0x0808080808080808, 0, 0x0808080808080808);
  x = _mm256_shuffle_epi8(x, _mm256_or_si256(shuffle, half));
  __m128i low = _mm256_castsi256_si128(x), high = _mm256_extracti128_si256(x, 1);
  // Places counted from `out`, not from each other: one addition a vector on the serial path. Each store covers
  // what the one before it scribbled.
  _mm_storel_epi64((__m128i *)out, low);
  _mm_storeh_pi((__m64 *)(out + _mm_popcnt_u32(marks & 0xFF)), _mm_castsi128_ps(low));
  _mm_storel_epi64((__m128i *)(out + _mm_popcnt_u32(marks & 0xFFFF)), high);
  _mm_storeh_pi((__m64 *)(out + _mm_popcnt_u32(marks & 0xFFFFFF)), _mm_castsi128_ps(high));
  return out + _mm_popcnt_u32(marks);
}

/// The code of each clamped x, in place for each quarter of a code group; bit 7 marks escapes in all but the last,
/// where the code itself has it.
typedef struct encode_tables {
  __m256i code[4];
} encode_tables;

AVX2_INLINE encode_tables encode_tables_make(int level, const uint8_t rank_of_x[16]) {
  uint8_t code_of_x[16];
  larder_code_of_x(level, rank_of_x, code_of_x);
  encode_tables tables;
  for (int quarter = 0; quarter < 4; quarter++) {
    uint8_t code[16];
    for (int x = 0; x < 16; x++) {
      uint8_t mark = quarter < 3 && code_of_x[x] == LARDER_ESCAPE ? 0x80 : 0;
      code[x] = (uint8_t)(code_of_x[x] << (2 * quarter)) | mark;
    }
    tables.code[quarter] = load16_both(code);
  }
  return tables;
}

/// The codes of quarter `quarter` of a group, 0 from `count` on.
AVX2_INLINE __m256i encode_quarter(__m256i x, int quarter, size_t count, const encode_tables *tables) {
  __m256i code = _mm256_shuffle_epi8(tables->code[quarter], _mm256_min_epu8(x, _mm256_set1_epi8(LARDER_X_CLAMP)));
  return count < LARDER_CASCADE_CODE_GROUP ? _mm256_and_si256(code, bytes_below(count, 32 * quarter)) : code;
}

AVX2_INLINE uint32_t bits_of(__m256i marks) { return (uint32_t)_mm256_movemask_epi8(marks); }

/// Codes 128 x, of which `count` are real. Returns the end of the escapes.
AVX2_INLINE uint8_t *encode_group(const __m256i x[4], size_t count, const encode_tables *tables, uint8_t *codes,
                                  uint8_t *escapes) {
  // Spelled out, here and below, where a loop of four would go through memory: compilers do not unroll all of it.
  __m256i code0 = encode_quarter(x[0], 0, count, tables), code1 = encode_quarter(x[1], 1, count, tables);
  __m256i code2 = encode_quarter(x[2], 2, count, tables), code3 = encode_quarter(x[3], 3, count, tables);
  __m256i first3 = _mm256_or_si256(_mm256_or_si256(code0, code1), code2);
  store32(codes, _mm256_or_si256(_mm256_and_si256(first3, _mm256_set1_epi8(0x3F)), code3));

  __m256i marks3 = _mm256_cmpeq_epi8(code3, _mm256_set1_epi8((char)(LARDER_ESCAPE << 6)));
  escapes = compact32(x[0], bits_of(code0), escapes);
  escapes = compact32(x[1], bits_of(code1), escapes);
  escapes = compact32(x[2], bits_of(code2), escapes);
  return compact32(x[3], bits_of(marks3), escapes);
}

AVX2 static size_t encode_level(int level, const uint8_t *x, size_t count, const uint8_t rank_of_x[16],
                                uint8_t *codes, uint8_t *escapes) {
  const encode_tables tables = encode_tables_make(level, rank_of_x);
  uint8_t *end = escapes;
  for (; count >= LARDER_CASCADE_CODE_GROUP; count -= LARDER_CASCADE_CODE_GROUP) {
    __m256i group[4] = {load32(x), load32(x + 32), load32(x + 64), load32(x + 96)};
    end = encode_group(group, LARDER_CASCADE_CODE_GROUP, &tables, codes, end);
    x += LARDER_CASCADE_CODE_GROUP;
    codes += 32;
  }
  if (count > 0) {
    __m256i group[4] = {load32(x), load32(x + 32), load32(x + 64), load32(x + 96)};
    end = encode_group(group, count, &tables, codes, end);
  }
  return (size_t)(end - escapes);
}

/// Rotates 32 values left by one and parts their bytes.
AVX2_INLINE void split32(const uint8_t *raw, __m256i *lo, __m256i *hi) {
  // Lanes are loaded crosswise because the packing below works within lanes.
  __m256i even = load_lanes(raw, raw + 32), odd = load_lanes(raw + 16, raw + 48);
  even = _mm256_or_si256(_mm256_add_epi16(even, even), _mm256_srli_epi16(even, 15));
  odd = _mm256_or_si256(_mm256_add_epi16(odd, odd), _mm256_srli_epi16(odd, 15));
  const __m256i low_byte = _mm256_set1_epi16(0xFF);
  *lo = _mm256_packus_epi16(_mm256_and_si256(even, low_byte), _mm256_and_si256(odd, low_byte));
  *hi = _mm256_packus_epi16(_mm256_srli_epi16(even, 8), _mm256_srli_epi16(odd, 8));
}

/// Packs the three raw bits of 256 f16 values, one value a byte, into 96 bytes.
AVX2_INLINE void pack_h3(const __m256i h[8], uint8_t *out) {
  const __m256i top2 = _mm256_set1_epi8((char)0xC0), bit6 = _mm256_set1_epi8(0x40), bit7 = _mm256_set1_epi8((char)0x80);
  __m256i p0 = _mm256_or_si256(h[0], _mm256_slli_epi16(h[3], 3));
  __m256i p1 = _mm256_or_si256(h[1], _mm256_slli_epi16(h[4], 3));
  __m256i p2 = _mm256_or_si256(h[2], _mm256_slli_epi16(h[5], 3));
  p0 = _mm256_or_si256(p0, _mm256_and_si256(_mm256_slli_epi16(h[6], 6), top2));
  p1 = _mm256_or_si256(p1, _mm256_and_si256(_mm256_slli_epi16(h[7], 6), top2));
  p2 = _mm256_or_si256(p2, _mm256_and_si256(_mm256_slli_epi16(h[6], 4), bit6));
  p2 = _mm256_or_si256(p2, _mm256_and_si256(_mm256_slli_epi16(h[7], 5), bit7));
  store32(out, p0);
  store32(out + 32, p1);
  store32(out + 64, p2);
}

/// Where encoding of level 0 stands.
typedef struct encode_cursor {
  const uint8_t *raw;
  const uint8_t *bases;
  uint8_t *lo;
  uint8_t *codes;
  uint8_t *escapes;
  uint32_t channel;
  uint32_t width;
} encode_cursor;

/// Takes 32 values: stores their low bytes, returns their x and, for f16, the other three raw bits.
AVX2_INLINE __m256i encode_next(encode_cursor *at, int is_f16, __m256i *h3) {
  __m256i low, e;
  split32(at->raw, &low, &e);
  store32(at->lo, low);
  if (is_f16) {
    *h3 = _mm256_and_si256(e, _mm256_set1_epi8(7));
    e = _mm256_and_si256(_mm256_srli_epi16(e, 3), _mm256_set1_epi8(31));
  }
  __m256i x = _mm256_sub_epi8(e, load32(at->bases + at->channel));
  at->raw += 64;
  at->lo += 32;
  at->channel += 32;
  if (at->channel >= at->width) at->channel -= at->width;
  return x;
}

/// Takes 128 values.
AVX2_INLINE void encode_half(encode_cursor *at, int is_f16, const encode_tables *tables, __m256i h3[4]) {
  __m256i x[4];
  x[0] = encode_next(at, is_f16, &h3[0]);
  x[1] = encode_next(at, is_f16, &h3[1]);
  x[2] = encode_next(at, is_f16, &h3[2]);
  x[3] = encode_next(at, is_f16, &h3[3]);
  at->escapes = encode_group(x, LARDER_CASCADE_CODE_GROUP, tables, at->codes, at->escapes);
  at->codes += 32;
}

AVX2_INLINE size_t encode0_body(int is_f16, const uint8_t *raw, size_t n, const uint8_t *bases, uint32_t width,
                                const uint8_t rank_of_x[16], uint8_t *lo, uint8_t *hi3, uint8_t *codes,
                                uint8_t *escapes) {
  const encode_tables tables = encode_tables_make(0, rank_of_x);
  encode_cursor at = {raw, bases, lo, codes, escapes, 0, width};
  for (size_t i = 0; i < n; i += LARDER_CASCADE_GROUP_VALUES) {
    __m256i h3[8];
    encode_half(&at, is_f16, &tables, h3);
    encode_half(&at, is_f16, &tables, h3 + 4);
    if (is_f16) pack_h3(h3, hi3 + i / LARDER_CASCADE_GROUP_VALUES * 96);
  }
  return (size_t)(at.escapes - escapes);
}

AVX2 static size_t encode0(int is_f16, const uint8_t *raw, size_t n, const uint8_t *bases, uint32_t width,
                           const uint8_t rank_of_x[16], uint8_t *lo, uint8_t *hi3, uint8_t *codes, uint8_t *escapes) {
  // Two copies of the loop, each without the other format's branches.
  return is_f16 ? encode0_body(1, raw, n, bases, width, rank_of_x, lo, hi3, codes, escapes)
                : encode0_body(0, raw, n, bases, width, rank_of_x, lo, hi3, codes, escapes);
}

// MARK: Decoding

/// For bytes of 0 or 1: how many are 1 up to and including each, within each lane.
AVX2_INLINE __m256i prefix_counts(__m256i ones) {
  const __m256i next4 = _mm256_setr_epi8(-1, -1, -1, -1, 3, 3, 3, 3, -1, -1, -1, -1, 11, 11, 11, 11, -1, -1, -1, -1, 3,
                                         3, 3, 3, -1, -1, -1, -1, 11, 11, 11, 11);
  const __m256i next8 = _mm256_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, 7, 7, 7, 7, 7, 7, 7, 7, -1, -1, -1, -1, -1, -1,
                                         -1, -1, 7, 7, 7, 7, 7, 7, 7, 7);
  // The multiplication sums within four bytes; then sums of fours and of eights are handed up.
  __m256i sum = _mm256_mullo_epi32(ones, _mm256_set1_epi32(0x01010101));
  sum = _mm256_add_epi8(sum, _mm256_shuffle_epi8(sum, next4));
  return _mm256_add_epi8(sum, _mm256_shuffle_epi8(sum, next8));
}

/// Puts the next escapes into the marked bytes, 0 elsewhere.
AVX2_INLINE __m256i expand32(__m256i marks, const uint8_t *escapes, uint32_t bits) {
  // Marked bytes take escape number prefix - 1. Others get bit 7, which makes the shuffle write 0.
  __m256i prefix = prefix_counts(_mm256_and_si256(marks, _mm256_set1_epi8(1)));
  __m256i shuffle = _mm256_add_epi8(prefix, _mm256_or_si256(marks, _mm256_set1_epi8((char)0x80)));
  __m256i next = load_lanes(escapes, escapes + _mm_popcnt_u32(bits & 0xFFFF));
  return _mm256_shuffle_epi8(next, shuffle);
}

/// Decodes quarter `quarter` of a group. `escape` is the code that escapes, as it stands in `code`.
AVX2_INLINE __m256i decode_quarter(__m256i code, __m256i escape, int quarter, size_t count, __m256i x_of_code,
                                   const uint8_t **escapes) {
  __m256i marks = _mm256_cmpeq_epi8(code, escape);
  if (count < LARDER_CASCADE_CODE_GROUP) marks = _mm256_and_si256(marks, bytes_below(count, 32 * quarter));
  uint32_t bits = bits_of(marks);
  __m256i x = _mm256_or_si256(_mm256_shuffle_epi8(x_of_code, code), expand32(marks, *escapes, bits));
  *escapes += _mm_popcnt_u32(bits);
  return x;
}

/// Decodes 128 codes, of which `count` are real: what the padding says is not believed. Returns the next escape.
AVX2_INLINE const uint8_t *decode_group(const uint8_t *codes, size_t count, __m256i x_of_code, const uint8_t *escapes,
                                        __m256i x[4]) {
  const __m256i even = _mm256_set1_epi8(LARDER_ESCAPE), odd = _mm256_set1_epi8(LARDER_ESCAPE << 2);
  __m256i low = load32(codes), high = _mm256_srli_epi16(low, 4);
  x[0] = decode_quarter(_mm256_and_si256(low, even), even, 0, count, x_of_code, &escapes);
  x[1] = decode_quarter(_mm256_and_si256(low, odd), odd, 1, count, x_of_code, &escapes);
  x[2] = decode_quarter(_mm256_and_si256(high, even), even, 2, count, x_of_code, &escapes);
  x[3] = decode_quarter(_mm256_and_si256(high, odd), odd, 3, count, x_of_code, &escapes);
  return escapes;
}

AVX2_INLINE __m256i decode_table_make(int level, const uint8_t x_of_rank[16]) {
  uint8_t x_of_code[16];
  larder_x_of_code(level, x_of_rank, x_of_code);
  return load16_both(x_of_code);
}

AVX2 static size_t decode_level(int level, const uint8_t *codes, size_t count, const uint8_t *escapes,
                                const uint8_t x_of_rank[16], uint8_t *x) {
  const __m256i x_of_code = decode_table_make(level, x_of_rank);
  const uint8_t *next = escapes;
  __m256i group[4];
  for (; count >= LARDER_CASCADE_CODE_GROUP; count -= LARDER_CASCADE_CODE_GROUP) {
    next = decode_group(codes, LARDER_CASCADE_CODE_GROUP, x_of_code, next, group);
    for (int quarter = 0; quarter < 4; quarter++) store32(x + 32 * quarter, group[quarter]);
    x += LARDER_CASCADE_CODE_GROUP;
    codes += 32;
  }
  if (count > 0) {
    next = decode_group(codes, count, x_of_code, next, group);
    for (int quarter = 0; quarter < 4; quarter++) store32(x + 32 * quarter, group[quarter]);
  }
  return (size_t)(next - escapes);
}

/// Joins the bytes of 32 values and rotates them back.
AVX2_INLINE void join32(__m256i lo, __m256i hi, uint8_t *raw) {
  __m256i even = _mm256_unpacklo_epi8(lo, hi), odd = _mm256_unpackhi_epi8(lo, hi);
  even = _mm256_or_si256(_mm256_srli_epi16(even, 1), _mm256_slli_epi16(even, 15));
  odd = _mm256_or_si256(_mm256_srli_epi16(odd, 1), _mm256_slli_epi16(odd, 15));
  store32(raw, _mm256_permute2x128_si256(even, odd, 0x20));
  store32(raw + 32, _mm256_permute2x128_si256(even, odd, 0x31));
}

/// Undoes `pack_h3`.
AVX2_INLINE void unpack_h3(const uint8_t *in, __m256i h[8]) {
  const __m256i low3 = _mm256_set1_epi8(7), low2 = _mm256_set1_epi8(3), bit2 = _mm256_set1_epi8(4);
  __m256i p0 = load32(in), p1 = load32(in + 32), p2 = load32(in + 64);
  h[0] = _mm256_and_si256(p0, low3);
  h[1] = _mm256_and_si256(p1, low3);
  h[2] = _mm256_and_si256(p2, low3);
  h[3] = _mm256_and_si256(_mm256_srli_epi16(p0, 3), low3);
  h[4] = _mm256_and_si256(_mm256_srli_epi16(p1, 3), low3);
  h[5] = _mm256_and_si256(_mm256_srli_epi16(p2, 3), low3);
  h[6] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(p0, 6), low2),
                         _mm256_and_si256(_mm256_srli_epi16(p2, 4), bit2));
  h[7] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(p1, 6), low2),
                         _mm256_and_si256(_mm256_srli_epi16(p2, 5), bit2));
}

/// Where decoding of level 0 stands.
typedef struct decode_cursor {
  const uint8_t *lo;
  const uint8_t *codes;
  const uint8_t *escapes;
  const uint8_t *bases;
  uint8_t *raw;
  uint32_t channel;
  uint32_t width;
} decode_cursor;

/// Makes 32 values of their x and, for f16, their raw high bits.
AVX2_INLINE void decode_next(decode_cursor *at, int is_f16, __m256i x, __m256i h3) {
  __m256i hi = _mm256_add_epi8(x, load32(at->bases + at->channel));
  if (is_f16) hi = _mm256_or_si256(_mm256_and_si256(_mm256_slli_epi16(hi, 3), _mm256_set1_epi8((char)0xF8)), h3);
  join32(load32(at->lo), hi, at->raw);
  at->lo += 32;
  at->raw += 64;
  at->channel += 32;
  if (at->channel >= at->width) at->channel -= at->width;
}

/// Makes 128 values.
AVX2_INLINE void decode_half(decode_cursor *at, int is_f16, __m256i x_of_code, const __m256i h3[4]) {
  __m256i x[4];
  at->escapes = decode_group(at->codes, LARDER_CASCADE_CODE_GROUP, x_of_code, at->escapes, x);
  at->codes += 32;
  decode_next(at, is_f16, x[0], h3[0]);
  decode_next(at, is_f16, x[1], h3[1]);
  decode_next(at, is_f16, x[2], h3[2]);
  decode_next(at, is_f16, x[3], h3[3]);
}

AVX2_INLINE size_t decode0_body(int is_f16, const uint8_t *lo, const uint8_t *hi3, const uint8_t *codes, size_t n,
                                const uint8_t *escapes, const uint8_t *bases, uint32_t width,
                                const uint8_t x_of_rank[16], uint8_t *raw) {
  const __m256i x_of_code = decode_table_make(0, x_of_rank);
  decode_cursor at = {lo, codes, escapes, bases, raw, 0, width};
  for (size_t i = 0; i < n; i += LARDER_CASCADE_GROUP_VALUES) {
    __m256i h3[8] = {_mm256_setzero_si256()};
    if (is_f16) unpack_h3(hi3 + i / LARDER_CASCADE_GROUP_VALUES * 96, h3);
    decode_half(&at, is_f16, x_of_code, h3);
    decode_half(&at, is_f16, x_of_code, h3 + 4);
  }
  return (size_t)(at.escapes - escapes);
}

AVX2 static size_t decode0(int is_f16, const uint8_t *lo, const uint8_t *hi3, const uint8_t *codes, size_t n,
                           const uint8_t *escapes, const uint8_t *bases, uint32_t width, const uint8_t x_of_rank[16],
                           uint8_t *raw) {
  return is_f16 ? decode0_body(1, lo, hi3, codes, n, escapes, bases, width, x_of_rank, raw)
                : decode0_body(0, lo, hi3, codes, n, escapes, bases, width, x_of_rank, raw);
}

AVX2 static void model(int is_f16, const uint8_t *raw, size_t n, uint32_t width, uint8_t *base, uint8_t ranked_x[12],
                       uint8_t rank_of_x[16]) {
  larder_model_body(is_f16, raw, n, width, base, ranked_x, rank_of_x, larder_histogram_avx2);
}

const larder_cascade_kernel larder_cascade_avx2 = {
    .name = "avx2",
    .encode0 = encode0,
    .encode_level = encode_level,
    .decode_level = decode_level,
    .decode0 = decode0,
    .model = model,
};

#endif
