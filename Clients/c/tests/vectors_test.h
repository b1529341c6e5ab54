/* The golden vectors: requests are written and answers read as they say; numbers and limits are theirs; what is hostile
 * is refused; cut and mutated answers are refused or read, and never harm. */
#ifndef LARDER_TESTS_VECTORS_TEST_H
#define LARDER_TESTS_VECTORS_TEST_H

#include "decoding.h"

static void check_constants(void) {
  static const struct {
    const char *name;
    uint64_t value;
  } known[] = {{"frame_bytes", LARDER_FRAME_BYTES},     {"batch_items", LARDER_BATCH_ITEMS},
               {"page_entries", LARDER_PAGE_ENTRIES},   {"resume_chunks", LARDER_RESUME_CHUNKS},
               {"components", LARDER_COMPONENTS},       {"group_size", LARDER_GROUP_SIZE},
               {"message_bytes", LARDER_MESSAGE_BYTES}, {"salt_bytes", LARDER_SALT_BYTES}};
  for (size_t i = 0; i < constant_count; i++) {
    subject = constants[i].path;
    CHECK(strcmp(larder_status_name((larder_status)strtol(constants[i].value, NULL, 10)), constants[i].path) == 0);
  }
  CHECK(constant_count == LARDER_DECLINED);
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    subject = known[i].name;
    bool is_found = false;
    for (size_t j = 0; j < limit_count; j++)
      if (strcmp(limits[j].path, known[i].name) == 0)
        is_found = strtoull(limits[j].value, NULL, 10) == known[i].value;
    CHECK(is_found);
  }
}

static void test_vectors(void) {
  unsigned requests = 0, answers = 0, hostile = 0;
  check_constants();
  for (size_t i = 0; i < vector_count; i++) {
    const vector *v = &vectors[i];
    bool is_request = strcmp(v->kind, "request") == 0;
    subject = v->name;
    if (is_request && v->code == NULL) {
      check_request(v);
      requests++;
    } else if (!is_request && v->code == NULL) {
      check_answer(v, true, LARDER_OK);
      answers++;
    } else if (!is_request) {
      check_answer(v, false, LARDER_PROTOCOL_VIOLATION);
      hostile++;
    }
    free_texts();
  }
  printf("vectors: %u requests written, %u answers read, %u hostile answers refused\n", requests, answers, hostile);
}

/* Every prefix of every answer is refused, but for the whole. */
static void test_truncations(void) {
  unsigned long cuts = 0;
  for (size_t i = 0; i < vector_count; i++) {
    const vector *v = &vectors[i];
    if (strcmp(v->kind, "request") == 0 || v->code != NULL) continue;
    subject = v->name;
    for (size_t length = 0; length < v->frame_bytes - LRD_HEADER_BYTES; length++, cuts++) {
      uint8_t *body = (uint8_t *)malloc(length == 0 ? 1 : length);
      if (body == NULL) exit(1);
      memcpy(body, v->frame + LRD_HEADER_BYTES, length);
      CHECK(decode_answer(v, body, length, false) == LARDER_PROTOCOL_VIOLATION);
      free(body);
    }
  }
  printf("truncations: %lu refused\n", cuts);
}

/* Lists of as many entries as their limit allows are read, and of one more are refused, though its bytes are there. */
static void test_list_limits(void) {
  /* Zeros make valid entries, but for the encoding of a chunk. `before` and `after`: bytes around the list. */
  static const struct {
    const char *message;
    size_t before, most, entry, after;
  } lists[] = {{"resume", 37, LARDER_TRACKS, 12, 4},
               {"resume", 41, LARDER_RESUME_CHUNKS, 49, 0},
               {"list_chunks", 0, LARDER_PAGE_ENTRIES, 49, 0},
               {"plan_snapshots", 0, LARDER_SNAPSHOTS, 8, 0},
               {"explain", 24, LARDER_GROUP_SIZE, 2, 6},
               {"explain", 30, LARDER_TRACKS, 38, 0},
               {"list_models", 0, LARDER_PAGE_ENTRIES, 56, 0},
               {"list_namespaces", 0, LARDER_PAGE_ENTRIES, 45, 0},
               {"list_sessions", 8, LARDER_PAGE_ENTRIES, 64, 0},
               {"stat", 0, LARDER_PAGE_ENTRIES, 4, 4},
               {"stat", 4, LARDER_PAGE_ENTRIES, 10, 0},
               {"verify", 16, LARDER_PAGE_ENTRIES, 22, 1},
               {"report", 32, LARDER_PAGE_ENTRIES, 75, 0}};
  static char kind[] = "answer";
  for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
    for (size_t count = lists[i].most - 1; count <= lists[i].most + 1; count++) {
      size_t bytes = lists[i].before + 4 + count * lists[i].entry + lists[i].after;
      uint8_t *body = (uint8_t *)must_allocate(bytes);
      vector v;
      memset(&v, 0, sizeof v);
      v.message = must_copy(lists[i].message);
      v.kind = kind;
      subject = lists[i].message;
      for (size_t j = 0; j < 4; j++) body[lists[i].before + j] = (uint8_t)(count >> (8 * j));
      for (size_t j = 0; j < count && lists[i].entry == 49; j++) body[lists[i].before + 44 + j * 49] = LARDER_RAW;
      CHECK(decode_answer(&v, body, bytes, false) ==
            (count <= lists[i].most ? LARDER_OK : LARDER_PROTOCOL_VIOLATION));
      free(v.message);
      free(body);
    }
}

/* xorshift64*, so that a seed repeats a run anywhere. */
static uint64_t random_state;

static uint64_t next_random(void) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return random_state * 0x2545F4914F6CDD1DULL;
}

/* Changes, cuts or lengthens a copy of a body. The caller's to free. */
static uint8_t *mutate(const uint8_t *body, size_t *count) {
  static const uint8_t edges[] = {0, 1, 0x7F, 0x80, 0xFF, 0xFE, 0x40, 3};
  size_t length = *count;
  if (next_random() % 4 == 0) length = next_random() % (length + 1);
  if (next_random() % 8 == 0) length += next_random() % 64;
  uint8_t *mutated = (uint8_t *)must_allocate(length);
  memcpy(mutated, body, length < *count ? length : *count);
  for (size_t i = *count; i < length; i++) mutated[i] = (uint8_t)next_random();
  for (uint64_t changes = next_random() % 6; changes > 0 && length > 0; changes--) {
    size_t at = next_random() % length;
    uint64_t kind = next_random() % 3;
    mutated[at] = (uint8_t)(kind == 0 ? next_random() : kind == 1 ? edges[next_random() % sizeof edges]
                                                                  : mutated[at] ^ (1u << (next_random() % 8)));
  }
  *count = length;
  return mutated;
}

/* Random changes of every answer: it is read or refused, and the sanitizers find nothing. */
static void test_mutations(unsigned long rounds) {
  unsigned long refused = 0, all = 0;
  for (unsigned long round = 0; round < rounds; round++)
    for (size_t i = 0; i < vector_count; i++) {
      const vector *v = &vectors[i];
      if (strcmp(v->kind, "request") == 0) continue;
      subject = v->name;
      size_t count = v->frame_bytes - LRD_HEADER_BYTES;
      uint8_t *body = mutate(v->frame + LRD_HEADER_BYTES, &count);
      larder_status status = decode_answer(v, body, count, false);
      CHECK(status == LARDER_OK || status == LARDER_PROTOCOL_VIOLATION);
      refused += status != LARDER_OK;
      all++;
      free(body);
    }
  printf("mutations: %lu, %lu of them refused\n", all, refused);
}

#endif
