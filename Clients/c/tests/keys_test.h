/* SHA-256 and prefix keys against values that prefix_keys.py computes with Python's hashlib. */
#ifndef LARDER_TESTS_KEYS_TEST_H
#define LARDER_TESTS_KEYS_TEST_H

#include "vectors.h"

static larder_key sha256_of(const void *bytes, size_t count) {
  lrd_sha256 hash;
  lrd_sha256_begin(&hash);
  lrd_sha256_add(&hash, bytes, count);
  return lrd_sha256_end(&hash);
}

/* Prints what prefix_keys.py prints for the same inputs; the two outputs are compared byte for byte. */
static void print_key(const char *name, const larder_key *key) {
  printf("%s ", name);
  for (size_t i = 0; i < sizeof key->bytes; i++) printf("%02x", key->bytes[i]);
  printf("\n");
}

static void print_keys(void) {
  enum { TOKENS = 1000 };
  static uint32_t tokens[TOKENS];
  static uint8_t bytes[300];
  larder_key keys[TOKENS];
  for (uint32_t i = 0; i < TOKENS; i++) tokens[i] = i * 2654435761u;
  for (uint32_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 7);
  for (size_t count = 0; count < sizeof bytes; count++) {
    larder_key key = sha256_of(bytes, count);
    print_key("sha256", &key);
  }
  static const size_t sizes[] = {1, 2, 7, 15, 16, 64, 256, 999, 1000, 1001};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    size_t count = larder_prefix_keys(tokens, TOKENS, sizes[i], NULL, 0, NULL, keys);
    for (size_t j = 0; j < count; j++) print_key("plain", &keys[j]);
    count = larder_prefix_keys(tokens, TOKENS, sizes[i], "lora \xc3\xa9", 7, NULL, keys);
    for (size_t j = 0; j < count; j++) print_key("context", &keys[j]);
    larder_key state = larder_recurrent_key(tokens, TOKENS, sizes[i], NULL, 0, NULL);
    print_key("state", &state);
  }
}

static void test_keys(void) {
  static const uint32_t tokens[] = {1, 2, 3, 4, 5, 4294967295u, 7};
  larder_key keys[3], rest[2];
  subject = "prefix keys";
  larder_key empty = sha256_of("", 0);
  CHECK(is_key("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", &empty));
  CHECK(larder_prefix_keys(tokens, 7, 2, NULL, 0, NULL, NULL) == 3);
  CHECK(larder_prefix_keys(tokens, 7, 0, NULL, 0, NULL, keys) == 0);
  CHECK(larder_prefix_keys(tokens, 1, 2, NULL, 0, NULL, keys) == 0);
  CHECK(larder_prefix_keys(tokens, 7, 2, "ctx", 3, NULL, keys) == 3);
  CHECK(is_key("21af7eba99823ed7ea3488dbd12730d46d88d9f6dedd7d029667c28da280fa58", &keys[0]));
  CHECK(is_key("295aa20d08d4f01ce88fcca2965b0dac17b6726549b32c1a41f0200b3970d824", &keys[2]));
  larder_key state = larder_recurrent_key(tokens, 6, 2, "ctx", 3, NULL);
  CHECK(memcmp(&state, &keys[2], sizeof state) == 0);
  state = larder_recurrent_key(tokens, 0, 2, NULL, 0, &keys[1]);
  CHECK(memcmp(&state, &keys[1], sizeof state) == 0);
  /* A chain goes on where an earlier call ended. */
  CHECK(larder_prefix_keys(tokens + 2, 5, 2, NULL, 0, &keys[0], rest) == 2);
  CHECK(memcmp(rest, keys + 1, sizeof rest) == 0);
}

#endif
