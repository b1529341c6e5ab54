// The AVX-512 kernel of the cascade: 64 values at a time. VBMI2 has the two steps that others lack, as compress and
// expand of bytes, and VBMI has byte shuffles across two registers.
//
// It was written where no machine had AVX-512: compiled against scalar stand-ins for its 512-bit intrinsics, written from
// Intel's manual, it equalled the other kernels bit for bit, also under the address sanitizer. On Zen 4 the tests, which
// run every kernel on offer, passed (2026-11-25); bench/RESULTS.md has its speed. CascadeDispatch.c offers it only where
// the processor and the system say that they have everything it needs.

#include "CascadeInternal.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "CascadeHistogramAVX2.h"
#include "CascadeModel.h"

#define AVX512_FEATURES "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,avx2,bmi,bmi2,popcnt"
#define AVX512 __attribute__((target(AVX512_FEATURES)))
#define AVX512_INLINE static inline __attribute__((always_inline, target(AVX512_FEATURES)))

AVX512_INLINE __m512i load64(const uint8_t *p) { return _mm512_loadu_si512(p); }
AVX512_INLINE void store64(uint8_t *p, __m512i v) { _mm512_storeu_si512(p, v); }
AVX512_INLINE __m256i load32(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
AVX512_INLINE void store32(uint8_t *p, __m256i v) { _mm256_storeu_si256((__m256i *)p, v); }
AVX512_INLINE __m512i load16_all(const uint8_t *p) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)p));
}

AVX512_INLINE __m256i low32(__m512i v) { return _mm512_castsi512_si256(v); }
AVX512_INLINE __m256i high32(__m512i v) { return _mm512_extracti64x4_epi64(v, 1); }
AVX512_INLINE __m512i join64(__m256i low, __m256i high) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

/// The bits of half `half` of a group, of whose 128 bytes `count` are real.
AVX512_INLINE __mmask64 bits_below(size_t count, int half) {
  size_t below = count > 64 * (size_t)half ? count - 64 * (size_t)half : 0;
  return below >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << below) - 1;
}

// MARK: Encoding

AVX512_INLINE __m512i encode_table_make(int level, const uint8_t rank_of_x[16]) {
  uint8_t code_of_x[16];
  larder_code_of_x(level, rank_of_x, code_of_x);
  return load16_all(code_of_x);
}

/// The codes of half `half` of a group, 0 from `count` on.
AVX512_INLINE __m512i encode_vector(__m512i x, int half, size_t count, __m512i code_of_x) {
  return _mm512_maskz_shuffle_epi8(bits_below(count, half), code_of_x,
                                   _mm512_min_epu8(x, _mm512_set1_epi8(LARDER_X_CLAMP)));
}

/// Appends the x whose code escapes; scribbles on up to 64 bytes past them.
AVX512_INLINE uint8_t *compact64(__m512i x, __m512i code, uint8_t *out) {
  __mmask64 marks = _mm512_cmpeq_epi8_mask(code, _mm512_set1_epi8(LARDER_ESCAPE));
  // Not compressed straight to memory: that is microcode on Zen 4.
  store64(out, _mm512_maskz_compress_epi8(marks, x));
  return out + _mm_popcnt_u64(marks);
}

/// Codes 128 x, of which `count` are real. Returns the end of the escapes.
AVX512_INLINE uint8_t *encode_group(__m512i x0, __m512i x1, size_t count, __m512i code_of_x, uint8_t *codes,
                                    uint8_t *escapes) {
  __m512i code0 = encode_vector(x0, 0, count, code_of_x), code1 = encode_vector(x1, 1, count, code_of_x);
  // Quarters 0 and 2 come to lie in the lower half, 1 and 3 in the upper.
  __m512i pairs = _mm512_or_si512(code0, _mm512_slli_epi16(code1, 4));
  store32(codes, _mm256_or_si256(low32(pairs), _mm256_slli_epi16(high32(pairs), 2)));
  escapes = compact64(x0, code0, escapes);
  return compact64(x1, code1, escapes);
}

AVX512 static size_t encode_level(int level, const uint8_t *x, size_t count, const uint8_t rank_of_x[16],
                                  uint8_t *codes, uint8_t *escapes) {
  const __m512i code_of_x = encode_table_make(level, rank_of_x);
  uint8_t *end = escapes;
  for (; count >= LARDER_CASCADE_CODE_GROUP; count -= LARDER_CASCADE_CODE_GROUP) {
    end = encode_group(load64(x), load64(x + 64), LARDER_CASCADE_CODE_GROUP, code_of_x, codes, end);
    x += LARDER_CASCADE_CODE_GROUP;
    codes += 32;
  }
  if (count > 0) end = encode_group(load64(x), load64(x + 64), count, code_of_x, codes, end);
  return (size_t)(end - escapes);
}

/// Packs the three raw bits of 256 f16 values, one value a byte, into 96 bytes.
AVX512_INLINE void pack_h3(const __m512i h[4], uint8_t *out) {
  // In the format's terms h is (H0, H1), (H2, H3), (H4, H5), (H6, H7); its first two vectors are made as one.
  __m512i h34 = _mm512_shuffle_i64x2(h[1], h[2], 0x4E);
  __m512i h67_low = _mm512_and_si512(_mm512_slli_epi16(h[3], 6), _mm512_set1_epi8((char)0xC0));
  store64(out, _mm512_or_si512(_mm512_or_si512(h[0], _mm512_slli_epi16(h34, 3)), h67_low));
  __m256i bit2 = _mm256_set1_epi8(4);
  __m256i h25 = _mm256_or_si256(low32(h[1]), _mm256_slli_epi16(high32(h[2]), 3));
  __m256i h6_high = _mm256_slli_epi16(_mm256_and_si256(low32(h[3]), bit2), 4);
  __m256i h7_high = _mm256_slli_epi16(_mm256_and_si256(high32(h[3]), bit2), 5);
  store32(out + 64, _mm256_or_si256(h25, _mm256_or_si256(h6_high, h7_high)));
}

/// Where encoding of level 0 stands, and the shuffles that part bytes.
typedef struct encode_cursor {
  const uint8_t *raw;
  const uint8_t *bases;
  uint8_t *lo;
  uint8_t *codes;
  uint8_t *escapes;
  uint32_t channel;
  uint32_t width;
  __m512i low_bytes;
  __m512i high_bytes;
} encode_cursor;

/// Takes 64 values: stores their low bytes, returns their x and, for f16, the other three raw bits.
AVX512_INLINE __m512i encode_next(encode_cursor *at, int is_f16, __m512i *h3) {
  __m512i first = load64(at->raw), last = load64(at->raw + 64);
  first = _mm512_shldi_epi16(first, first, 1);
  last = _mm512_shldi_epi16(last, last, 1);
  store64(at->lo, _mm512_permutex2var_epi8(first, at->low_bytes, last));
  __m512i e = _mm512_permutex2var_epi8(first, at->high_bytes, last);
  if (is_f16) {
    *h3 = _mm512_and_si512(e, _mm512_set1_epi8(7));
    e = _mm512_and_si512(_mm512_srli_epi16(e, 3), _mm512_set1_epi8(31));
  }
  __m512i x = _mm512_sub_epi8(e, load64(at->bases + at->channel));
  at->raw += 128;
  at->lo += 64;
  at->channel += 64;
  if (at->channel >= at->width) at->channel -= at->width;
  return x;
}

/// Takes 128 values.
AVX512_INLINE void encode_half(encode_cursor *at, int is_f16, __m512i code_of_x, __m512i h3[2]) {
  __m512i x0 = encode_next(at, is_f16, &h3[0]), x1 = encode_next(at, is_f16, &h3[1]);
  at->escapes = encode_group(x0, x1, LARDER_CASCADE_CODE_GROUP, code_of_x, at->codes, at->escapes);
  at->codes += 32;
}

AVX512_INLINE size_t encode0_body(int is_f16, const uint8_t *raw, size_t n, const uint8_t *bases, uint32_t width,
                                  const uint8_t rank_of_x[16], uint8_t *lo, uint8_t *hi3, uint8_t *codes,
                                  uint8_t *escapes) {
  const __m512i code_of_x = encode_table_make(0, rank_of_x);
  uint8_t even[64], odd[64];
  for (int i = 0; i < 64; i++) even[i] = (uint8_t)(2 * i), odd[i] = (uint8_t)(2 * i + 1);
  encode_cursor at = {raw, bases, lo, codes, escapes, 0, width, load64(even), load64(odd)};
  for (size_t i = 0; i < n; i += LARDER_CASCADE_GROUP_VALUES) {
    __m512i h3[4];
    encode_half(&at, is_f16, code_of_x, h3);
    encode_half(&at, is_f16, code_of_x, h3 + 2);
    if (is_f16) pack_h3(h3, hi3 + i / LARDER_CASCADE_GROUP_VALUES * 96);
  }
  return (size_t)(at.escapes - escapes);
}

AVX512 static size_t encode0(int is_f16, const uint8_t *raw, size_t n, const uint8_t *bases, uint32_t width,
                             const uint8_t rank_of_x[16], uint8_t *lo, uint8_t *hi3, uint8_t *codes,
                             uint8_t *escapes) {
  return is_f16 ? encode0_body(1, raw, n, bases, width, rank_of_x, lo, hi3, codes, escapes)
                : encode0_body(0, raw, n, bases, width, rank_of_x, lo, hi3, codes, escapes);
}

// MARK: Decoding

AVX512_INLINE __m512i decode_table_make(int level, const uint8_t x_of_rank[16]) {
  uint8_t x_of_code[16];
  larder_x_of_code(level, x_of_rank, x_of_code);
  return load16_all(x_of_code);
}

/// The x of 64 codes, of which those in `real` can escape.
AVX512_INLINE __m512i decode_vector(__m512i code, __mmask64 real, __m512i x_of_code, const uint8_t **escapes) {
  __mmask64 marks = _mm512_mask_cmpeq_epi8_mask(real, code, _mm512_set1_epi8(LARDER_ESCAPE));
  __m512i x = _mm512_shuffle_epi8(x_of_code, code);
  x = _mm512_mask_expand_epi8(x, marks, load64(*escapes));
  *escapes += _mm_popcnt_u64(marks);
  return x;
}

/// Decodes 128 codes, of which `count` are real: what the padding says is not believed. Returns the next escape.
AVX512_INLINE const uint8_t *decode_group(const uint8_t *codes, size_t count, __m512i x_of_code,
                                          const uint8_t *escapes, __m512i x[2]) {
  // Quarters 0 and 2 from the lower half, 1 and 3 from the upper, shifted so that they lie alike.
  const __m512i odd_quarters = join64(_mm256_setzero_si256(), _mm256_set1_epi16(2));
  const __m512i one_code = _mm512_set1_epi8(3);
  __m512i pairs = _mm512_srlv_epi16(_mm512_broadcast_i64x4(load32(codes)), odd_quarters);
  x[0] = decode_vector(_mm512_and_si512(pairs, one_code), bits_below(count, 0), x_of_code, &escapes);
  x[1] = decode_vector(_mm512_and_si512(_mm512_srli_epi16(pairs, 4), one_code), bits_below(count, 1), x_of_code,
                       &escapes);
  return escapes;
}

AVX512 static size_t decode_level(int level, const uint8_t *codes, size_t count, const uint8_t *escapes,
                                  const uint8_t x_of_rank[16], uint8_t *x) {
  const __m512i x_of_code = decode_table_make(level, x_of_rank);
  const uint8_t *next = escapes;
  __m512i group[2];
  for (; count >= LARDER_CASCADE_CODE_GROUP; count -= LARDER_CASCADE_CODE_GROUP) {
    next = decode_group(codes, LARDER_CASCADE_CODE_GROUP, x_of_code, next, group);
    store64(x, group[0]);
    store64(x + 64, group[1]);
    x += LARDER_CASCADE_CODE_GROUP;
    codes += 32;
  }
  if (count > 0) {
    next = decode_group(codes, count, x_of_code, next, group);
    store64(x, group[0]);
    store64(x + 64, group[1]);
  }
  return (size_t)(next - escapes);
}

/// Undoes `pack_h3`.
AVX512_INLINE void unpack_h3(const uint8_t *in, __m512i h[4]) {
  const __m512i low3 = _mm512_set1_epi8(7), low2 = _mm512_set1_epi8(3), bit2 = _mm512_set1_epi8(4);
  const __m512i above = join64(_mm256_set1_epi16(4), _mm256_set1_epi16(5));
  __m512i p01 = load64(in);
  __m256i p2 = load32(in + 64);
  __m512i h34 = _mm512_and_si512(_mm512_srli_epi16(p01, 3), low3);
  __m512i h25 = _mm512_and_si512(join64(p2, _mm256_srli_epi16(p2, 3)), low3);
  h[0] = _mm512_and_si512(p01, low3);
  h[1] = join64(low32(h25), low32(h34));
  h[2] = join64(high32(h34), high32(h25));
  h[3] = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(p01, 6), low2),
                         _mm512_and_si512(_mm512_srlv_epi16(join64(p2, p2), above), bit2));
}

/// Where decoding of level 0 stands, and the shuffles that join bytes.
typedef struct decode_cursor {
  const uint8_t *lo;
  const uint8_t *codes;
  const uint8_t *escapes;
  const uint8_t *bases;
  uint8_t *raw;
  uint32_t channel;
  uint32_t width;
  __m512i first_words;
  __m512i last_words;
} decode_cursor;

/// Makes 64 values of their x and, for f16, their raw high bits.
AVX512_INLINE void decode_next(decode_cursor *at, int is_f16, __m512i x, __m512i h3) {
  __m512i hi = _mm512_add_epi8(x, load64(at->bases + at->channel));
  if (is_f16) hi = _mm512_or_si512(_mm512_and_si512(_mm512_slli_epi16(hi, 3), _mm512_set1_epi8((char)0xF8)), h3);
  __m512i lo = load64(at->lo);
  __m512i first = _mm512_permutex2var_epi8(lo, at->first_words, hi);
  __m512i last = _mm512_permutex2var_epi8(lo, at->last_words, hi);
  store64(at->raw, _mm512_shrdi_epi16(first, first, 1));
  store64(at->raw + 64, _mm512_shrdi_epi16(last, last, 1));
  at->lo += 64;
  at->raw += 128;
  at->channel += 64;
  if (at->channel >= at->width) at->channel -= at->width;
}

/// Makes 128 values.
AVX512_INLINE void decode_half(decode_cursor *at, int is_f16, __m512i x_of_code, const __m512i h3[2]) {
  __m512i x[2];
  at->escapes = decode_group(at->codes, LARDER_CASCADE_CODE_GROUP, x_of_code, at->escapes, x);
  at->codes += 32;
  decode_next(at, is_f16, x[0], h3[0]);
  decode_next(at, is_f16, x[1], h3[1]);
}

AVX512_INLINE size_t decode0_body(int is_f16, const uint8_t *lo, const uint8_t *hi3, const uint8_t *codes, size_t n,
                                  const uint8_t *escapes, const uint8_t *bases, uint32_t width,
                                  const uint8_t x_of_rank[16], uint8_t *raw) {
  const __m512i x_of_code = decode_table_make(0, x_of_rank);
  uint8_t first[64], last[64];
  for (int i = 0; i < 64; i++) first[i] = (uint8_t)(i / 2 + 64 * (i % 2)), last[i] = (uint8_t)(first[i] + 32);
  decode_cursor at = {lo, codes, escapes, bases, raw, 0, width, load64(first), load64(last)};
  for (size_t i = 0; i < n; i += LARDER_CASCADE_GROUP_VALUES) {
    __m512i h3[4] = {_mm512_setzero_si512()};
    if (is_f16) unpack_h3(hi3 + i / LARDER_CASCADE_GROUP_VALUES * 96, h3);
    decode_half(&at, is_f16, x_of_code, h3);
    decode_half(&at, is_f16, x_of_code, h3 + 2);
  }
  return (size_t)(at.escapes - escapes);
}

AVX512 static size_t decode0(int is_f16, const uint8_t *lo, const uint8_t *hi3, const uint8_t *codes, size_t n,
                             const uint8_t *escapes, const uint8_t *bases, uint32_t width,
                             const uint8_t x_of_rank[16], uint8_t *raw) {
  return is_f16 ? decode0_body(1, lo, hi3, codes, n, escapes, bases, width, x_of_rank, raw)
                : decode0_body(0, lo, hi3, codes, n, escapes, bases, width, x_of_rank, raw);
}

AVX512 static void model(int is_f16, const uint8_t *raw, size_t n, uint32_t width, uint8_t *base,
                         uint8_t ranked_x[12], uint8_t rank_of_x[16]) {
  larder_model_body(is_f16, raw, n, width, base, ranked_x, rank_of_x, larder_histogram_avx2);
}

const larder_cascade_kernel larder_cascade_avx512vbmi2 = {
    .name = "avx512vbmi2",
    .encode0 = encode0,
    .encode_level = encode_level,
    .decode_level = decode_level,
    .decode0 = decode0,
    .model = model,
};

#endif
