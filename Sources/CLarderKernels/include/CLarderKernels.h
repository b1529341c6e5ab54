// Vector kernels for Larder's exact 16-bit float codec (the "exponent cascade") and CRC32C.
//
// The Swift side owns the block header, the validation of hostile input, the loop over the levels and a plain
// kernel that these must equal bit for bit. What is here is what Swift cannot express without losing an order of
// magnitude: byte shuffles. Nothing here allocates, locks or keeps state besides the cached choice of a CRC.
//
// The codec in five lines. A value u (little-endian, 16 bits) is rotated left by one, so that its sign becomes the
// lowest bit; the low byte is stored as it is. What is left of the high byte (all of it for bf16, the upper five
// bits for f16, whose other three are stored raw) is the exponent e. x = e - base[channel], wrapping. Most x are
// one of three values and become a 2-bit code; the others ("escapes") are compacted and coded again, four levels
// deep: level k knows ranks 3k to 3k + 2. What escapes the last level is stored as a byte.

#ifndef CLARDER_KERNELS_H
#define CLARDER_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#define LARDER_NONNULL _Nonnull
#define LARDER_NULLABLE _Nullable
#else
#define LARDER_NONNULL
#define LARDER_NULLABLE
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// Values of a block come in groups of this many (three raw bits of 256 f16 values fill 96 bytes).
#define LARDER_CASCADE_GROUP_VALUES 256
/// Codes of a level come in groups of this many; a group takes 32 bytes.
#define LARDER_CASCADE_CODE_GROUP 128
/// The largest `width`, in channels.
#define LARDER_CASCADE_MAX_WIDTH 8192
/// Bytes that a table written by `larder_bases_extend` needs at most.
#define LARDER_CASCADE_MAX_BASES_BYTES (LARDER_CASCADE_MAX_WIDTH + 64)
/// Readable and writable bytes that must follow every escape and x buffer beyond its nominal length.
#define LARDER_CASCADE_SLACK_BYTES 512

/// One implementation of the codec's primitives. All kernels give the same bytes.
///
/// Shapes, for all members: `n` is a multiple of 256. `escapes` and `x` buffers are followed by
/// `LARDER_CASCADE_SLACK_BYTES` that the kernel may read (inputs) or scribble on (outputs). `raw`, `lo`, `hi3` and
/// `codes` have no slack: they may end at the end of a mapping. Nothing needs an alignment. Inputs and outputs
/// must not overlap. `rank_of_x` maps x, clamped to 15, to its rank 0 to 11, or 12 for none; its last entry is 12.
///
/// A group of 128 codes fills 32 bytes: byte j holds codes j, j + 32, j + 64 and j + 96 from its low bits up.
typedef struct larder_cascade_kernel {
  /// "avx512vbmi2", "avx2" or "vector16".
  const char *LARDER_NONNULL name;

  /// Level 0 of encoding: splits `n` values into planes, codes the exponents, compacts what escapes.
  ///
  /// `raw`: 2n bytes. `bases`, `width`: a table of `larder_bases_extend` and the period that it returned. Writes
  /// `lo[n]`, for f16 `hi3[n * 96 / 256]` (unused for bf16, may be NULL), `codes[n / 4]` and at most n escapes.
  /// Returns the number of escapes.
  size_t (*LARDER_NONNULL encode0)(int is_f16, const uint8_t *LARDER_NONNULL raw, size_t n,
                                   const uint8_t *LARDER_NONNULL bases, uint32_t width,
                                   const uint8_t rank_of_x[LARDER_NONNULL 16], uint8_t *LARDER_NONNULL lo,
                                   uint8_t *LARDER_NULLABLE hi3, uint8_t *LARDER_NONNULL codes,
                                   uint8_t *LARDER_NONNULL escapes);

  /// Level 1 to 3 of encoding: codes `count` bytes of x, compacts what escapes.
  ///
  /// Writes `codes[32 * ceil(count / 128)]`, missing codes being 0. An x that belongs to an earlier level (a caller's
  /// mistake) escapes too, so the result decodes all the same. Returns the number of escapes, at most `count`.
  size_t (*LARDER_NONNULL encode_level)(int level, const uint8_t *LARDER_NONNULL x, size_t count,
                                        const uint8_t rank_of_x[LARDER_NONNULL 16], uint8_t *LARDER_NONNULL codes,
                                        uint8_t *LARDER_NONNULL escapes);

  /// Level 1 to 3 of decoding: undoes `encode_level`, with `x_of_rank[12]` the inverse of `rank_of_x`.
  ///
  /// Reads `codes[32 * ceil(count / 128)]`, writes `x[count]` and scribbles on its slack. Returns how many escapes
  /// were eaten, at most `count` whatever the codes say; so a buffer of `count` + slack bytes cannot be overrun,
  /// and a return value other than the number of escapes at hand means that the block is damaged.
  size_t (*LARDER_NONNULL decode_level)(int level, const uint8_t *LARDER_NONNULL codes, size_t count,
                                        const uint8_t *LARDER_NONNULL escapes,
                                        const uint8_t x_of_rank[LARDER_NONNULL 16], uint8_t *LARDER_NONNULL x);

  /// Level 0 of decoding: undoes `encode0`. Writes 2n bytes to `raw`. Returns how many escapes were eaten.
  size_t (*LARDER_NONNULL decode0)(int is_f16, const uint8_t *LARDER_NONNULL lo, const uint8_t *LARDER_NULLABLE hi3,
                                   const uint8_t *LARDER_NONNULL codes, size_t n,
                                   const uint8_t *LARDER_NONNULL escapes, const uint8_t *LARDER_NONNULL bases,
                                   uint32_t width, const uint8_t x_of_rank[LARDER_NONNULL 16],
                                   uint8_t *LARDER_NONNULL raw);

  /// Chooses the bases and ranks for a block of `n` values in rows of `width` channels, 1 <= width <= min(n, 8192).
  ///
  /// Here `width` is the true one, and `base[width]` is written as the header stores it, not extended. Of
  /// `rank_of_x` all 16 entries are written. The result depends on the values alone, never on the kernel.
  void (*LARDER_NONNULL model)(int is_f16, const uint8_t *LARDER_NONNULL raw, size_t n, uint32_t width,
                               uint8_t *LARDER_NONNULL base, uint8_t ranked_x[LARDER_NONNULL 12],
                               uint8_t rank_of_x[LARDER_NONNULL 16]);
} larder_cascade_kernel;

/// The kernels that this machine can run, best first; NULL past the last. There may be none at all (Swift's plain
/// kernel remains). Safe from any thread.
const larder_cascade_kernel *LARDER_NULLABLE larder_cascade_kernel_at(size_t index);

/// Repeats `base[width]` so that 64 bytes can be read at any offset below the period.
///
/// Writes period + 64 bytes to `out` (`LARDER_CASCADE_MAX_BASES_BYTES` is always enough) and returns the period:
/// the smallest multiple of `width` that is at least 64. 1 <= width <= `LARDER_CASCADE_MAX_WIDTH`.
uint32_t larder_bases_extend(const uint8_t *LARDER_NONNULL base, uint32_t width, uint8_t *LARDER_NONNULL out);

/// CRC32C (Castagnoli, RFC 3720 appendix B.4) of `n` bytes, continuing `crc`: 0 to start, or an earlier result.
uint32_t larder_crc32c(uint32_t crc, const void *LARDER_NULLABLE p, size_t n);

/// Copies `n` bytes and returns what `larder_crc32c` would, reading the source once. The two must not overlap.
///
/// What is summed is what was written to `dst`, even while another process scribbles on `src`.
uint32_t larder_crc32c_copy(uint32_t crc, void *LARDER_NULLABLE dst, const void *LARDER_NULLABLE src, size_t n);

/// `larder_crc32c` without special instructions: what the fast ones are tested against.
uint32_t larder_crc32c_software(uint32_t crc, const void *LARDER_NULLABLE p, size_t n);

/// Which implementation `larder_crc32c` uses on this machine, for logs and benchmark tables.
const char *LARDER_NONNULL larder_crc32c_name(void);

#ifdef __cplusplus
}
#endif

#endif
