// CRC32C without special instructions: eight bytes at a time by eight tables ("slicing", Kounavis and Berry 2008).
//
// The tables are constant expressions, so that there is nothing to initialise. A CRC is linear: the entry of a byte
// is the sum of the entries of its bits, eight of which make a table.

#include "CRC32CInternal.h"

#define BIT(n, b, value) (((n) >> (b)&1) ? (value) : 0u)
#define ENTRY(n, a, b, c, d, e, f, g, h)                                                                    \
  (BIT(n, 0, a) ^ BIT(n, 1, b) ^ BIT(n, 2, c) ^ BIT(n, 3, d) ^ BIT(n, 4, e) ^ BIT(n, 5, f) ^ BIT(n, 6, g) ^ \
   BIT(n, 7, h))
#define ENTRIES4(n, ...) \
  ENTRY(n, __VA_ARGS__), ENTRY((n) + 1, __VA_ARGS__), ENTRY((n) + 2, __VA_ARGS__), ENTRY((n) + 3, __VA_ARGS__)
#define ENTRIES16(n, ...)                                                                   \
  ENTRIES4(n, __VA_ARGS__), ENTRIES4((n) + 4, __VA_ARGS__), ENTRIES4((n) + 8, __VA_ARGS__), \
      ENTRIES4((n) + 12, __VA_ARGS__)
#define ENTRIES64(n, ...)                                                                        \
  ENTRIES16(n, __VA_ARGS__), ENTRIES16((n) + 16, __VA_ARGS__), ENTRIES16((n) + 32, __VA_ARGS__), \
      ENTRIES16((n) + 48, __VA_ARGS__)
#define TABLE(...) \
  {ENTRIES64(0, __VA_ARGS__), ENTRIES64(64, __VA_ARGS__), ENTRIES64(128, __VA_ARGS__), ENTRIES64(192, __VA_ARGS__)}

/// Entry n of table k: the remainder of byte n followed by k zero bytes.
static const uint32_t tables[8][256] = {
    TABLE(0xF26B8303, 0xE13B70F7, 0xC79A971F, 0x8AD958CF, 0x105EC76F, 0x20BD8EDE, 0x417B1DBC, 0x82F63B78),
    TABLE(0x13A29877, 0x274530EE, 0x4E8A61DC, 0x9D14C3B8, 0x3FC5F181, 0x7F8BE302, 0xFF17C604, 0xFBC3FAF9),
    TABLE(0xA541927E, 0x4F6F520D, 0x9EDEA41A, 0x38513EC5, 0x70A27D8A, 0xE144FB14, 0xC76580D9, 0x8B277743),
    TABLE(0xDD45AAB8, 0xBF672381, 0x7B2231F3, 0xF64463E6, 0xE964B13D, 0xD725148B, 0xABA65FE7, 0x52A0C93F),
    TABLE(0x38116FAC, 0x7022DF58, 0xE045BEB0, 0xC5670B91, 0x8F2261D3, 0x1BA8B557, 0x37516AAE, 0x6EA2D55C),
    TABLE(0xEF306B19, 0xDB8CA0C3, 0xB2F53777, 0x6006181F, 0xC00C303E, 0x85F4168D, 0x0E045BEB, 0x1C08B7D6),
    TABLE(0x68032CC8, 0xD0065990, 0xA5E0C5D1, 0x4E2DFD53, 0x9C5BFAA6, 0x3D5B83BD, 0x7AB7077A, 0xF56E0EF4),
    TABLE(0x493C7D27, 0x9278FA4E, 0x211D826D, 0x423B04DA, 0x847609B4, 0x0D006599, 0x1A00CB32, 0x34019664),
};

LARDER_INLINE uint32_t body(uint32_t crc, uint8_t *dst, const uint8_t *src, size_t n, int is_copy) {
  crc = ~crc;
  size_t i = 0;
  for (; n - i >= 8; i += 8) {
    uint64_t word = larder_take64(src, dst, i, is_copy) ^ crc;
    crc = 0;
    for (int k = 0; k < 8; k++) crc ^= tables[7 - k][word >> (8 * k) & 0xFF];
  }
  for (; i < n; i++) crc = tables[0][(crc ^ larder_take8(src, dst, i, is_copy)) & 0xFF] ^ crc >> 8;
  return ~crc;
}

static uint32_t sum(uint32_t crc, const uint8_t *p, size_t n) { return body(crc, NULL, p, n, 0); }

static uint32_t copy(uint32_t crc, uint8_t *dst, const uint8_t *src, size_t n) { return body(crc, dst, src, n, 1); }

const larder_crc32c_implementation larder_crc32c_sliced = {.name = "sliced by 8", .sum = sum, .copy = copy};
