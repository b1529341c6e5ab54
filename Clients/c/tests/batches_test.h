/* Batches against a daemon that is played: how they are cut, what order answers may come in, what is refused. */
#ifndef LARDER_TESTS_BATCHES_TEST_H
#define LARDER_TESTS_BATCHES_TEST_H

#include "hostile_test.h"

/* A body under construction. */
typedef struct body {
  uint8_t bytes[4096];
  size_t count;
} body;

static void add(body *b, uint64_t value, size_t width) {
  for (size_t i = 0; i < width; i++) b->bytes[b->count++] = (uint8_t)(value >> (8 * i));
}

/* An answer to a put of `count` items, each of which takes `stored` bytes more than the one before. */
static body put_answer(uint32_t count, uint64_t stored) {
  body b;
  b.count = 0;
  add(&b, count, 4);
  for (uint32_t i = 0; i < count; i++) {
    add(&b, 0, 2);
    add(&b, stored + i, 8);
  }
  return b;
}

/* Items of one byte each. */
static larder_page_out *small_items(size_t count) {
  static const uint8_t byte = 5;
  larder_page_out *items = (larder_page_out *)must_allocate(count * sizeof *items);
  for (size_t i = 0; i < count; i++) {
    items[i].chunk.offset = i;
    items[i].tokens = 1;
    items[i].bytes = &byte;
    items[i].byte_count = 1;
  }
  return items;
}

/* Seven items, two in a request: four requests, whose answers come in any order of those under way. */
static void test_order(void) {
  static const unsigned orders[3][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}};
  larder_page_out *items = small_items(7);
  for (int order = 0; order < 3; order++) {
    int daemon;
    larder_result results[7];
    larder_client *client = fake_client(&daemon);
    subject = "order of answers";
    client->limits.features = 0;
    client->limits.batch_items = 2;
    for (int i = 0; i < 4; i++) {
      unsigned request = orders[order][i];
      body answer = put_answer(request == 3 ? 1 : 2, 100 + 10 * request);
      lay_out_frame(daemon, LRD_PUT | LRD_ANSWER_BIT, 1 + request, answer.bytes, answer.count);
    }
    CHECK_OK(client, larder_put_from(client, items, 7, LARDER_COMMITTED, LARDER_AUTO, results));
    for (unsigned i = 0; i < 7; i++) CHECK(results[i].bytes == 100 + 10 * (i / 2) + i % 2);
    end_fake(client, daemon);
  }
  free(items);
}

/* One request of a batch is refused: its items are, and no others. */
static void test_refused_part(void) {
  int daemon;
  larder_result results[7];
  larder_page_out *items = small_items(7);
  larder_client *client = fake_client(&daemon);
  subject = "a part refused";
  client->limits.features = 0;
  client->limits.batch_items = 2;
  client->limits.requests_in_flight = 1;
  for (unsigned request = 0; request < 4; request++) {
    body answer = put_answer(request == 3 ? 1 : 2, 10);
    if (request == 1)
      lay_out_refusal(daemon, 2, LARDER_BUSY);
    else
      lay_out_frame(daemon, LRD_PUT | LRD_ANSWER_BIT, 1 + request, answer.bytes, answer.count);
  }
  CHECK_IS(client, larder_put_from(client, items, 7, LARDER_COMMITTED, LARDER_AUTO, results), LARDER_BUSY);
  CHECK(strncmp(larder_message(client), "item 2: ", 8) == 0);
  for (unsigned i = 0; i < 7; i++) CHECK(results[i].status == (i / 2 == 1 ? LARDER_BUSY : LARDER_OK));
  CHECK(larder_is_usable(client));
  end_fake(client, daemon);
  free(items);
}

/* The connection ends in the midst of a batch: what was answered stays so, the rest says why not. */
static void test_lost_part(void) {
  int daemon;
  larder_result results[7];
  larder_page_out *items = small_items(7);
  larder_client *client = fake_client(&daemon);
  subject = "lost in the midst";
  client->limits.features = 0;
  client->limits.batch_items = 2;
  body answer = put_answer(2, 10);
  lay_out_frame(daemon, LRD_PUT | LRD_ANSWER_BIT, 1, answer.bytes, answer.count);
  shutdown(daemon, SHUT_WR);
  CHECK_IS(client, larder_put_from(client, items, 7, LARDER_COMMITTED, LARDER_AUTO, results),
           LARDER_CONNECTION_LOST);
  for (unsigned i = 0; i < 7; i++) {
    CHECK(results[i].status == (i < 2 ? LARDER_OK : LARDER_CONNECTION_LOST));
    CHECK((results[i].message[0] == 0) == (i < 2));
  }
  check_lost(client);
  end_fake(client, daemon);
  free(items);
}

/* Results of puts that no daemon may send. */
static void test_wrong_counts(void) {
  larder_page_out *items = small_items(3);
  for (uint32_t count = 0; count < 8; count++) {
    int daemon;
    larder_result results[3];
    larder_client *client = fake_client(&daemon);
    subject = "wrong counts";
    client->limits.features = 0;
    body answer = put_answer(count, 10);
    if (count == 6) memset(answer.bytes, 0xFF, 4);
    if (count == 7) answer.bytes[0] = 3;
    lay_out_frame(daemon, LRD_PUT | LRD_ANSWER_BIT, 1, answer.bytes, answer.count);
    CHECK_IS(client, larder_put_from(client, items, 3, LARDER_COMMITTED, LARDER_AUTO, results),
             count == 3 ? LARDER_OK : LARDER_PROTOCOL_VIOLATION);
    if (count != 3) check_lost(client);
    if (count != 3) CHECK(results[2].status == LARDER_PROTOCOL_VIOLATION);
    end_fake(client, daemon);
  }
  free(items);
}

/* One result of a get: no error, 3 tokens, its place. */
static body get_answer(uint8_t place, uint64_t bytes, uint32_t arena, uint64_t offset) {
  body b;
  b.count = 0;
  add(&b, 1, 4);
  add(&b, 0, 2);
  add(&b, 3, 4);
  add(&b, place, 1);
  add(&b, bytes, 8);
  if (place == 1) add(&b, arena, 4);
  if (place == 1) add(&b, offset, 8);
  return b;
}

/* An arena with number 7, without a daemon. */
static larder_arena *fake_arena(larder_client *client, size_t size) {
  void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  larder_arena *arena = lrd_adopt_arena(client, 7, bytes, size, true);
  if (bytes == MAP_FAILED || arena == NULL) exit(1);
  return arena;
}

/* Chunks that were paged in where nobody asked for them. */
static void test_places(void) {
  static const struct {
    uint8_t place;
    uint64_t bytes;
    uint32_t arena;
    uint64_t offset;
    larder_status expected;
  } cases[] = {{1, 64, 7, 128, LARDER_OK},
               {1, 60, 7, 128, LARDER_OK},
               {1, 65, 7, 128, LARDER_PROTOCOL_VIOLATION},
               {1, UINT64_MAX, 7, 128, LARDER_PROTOCOL_VIOLATION},
               {1, 64, 7, 129, LARDER_PROTOCOL_VIOLATION},
               {1, 64, 8, 128, LARDER_PROTOCOL_VIOLATION},
               {0, 0, 0, 0, LARDER_PROTOCOL_VIOLATION},
               {0, 64, 0, 0, LARDER_PROTOCOL_VIOLATION}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int daemon;
    larder_result result;
    larder_page_in item;
    larder_client *client = fake_client(&daemon);
    larder_arena *arena = fake_arena(client, 4096);
    subject = "places";
    memset(&item, 0, sizeof item);
    item.into = (uint8_t *)larder_arena_bytes(arena) + 128;
    item.byte_count = 64;
    body answer = get_answer(cases[i].place, cases[i].bytes, cases[i].arena, cases[i].offset);
    lay_out_frame(daemon, LRD_GET_INTO | LRD_ANSWER_BIT, 1, answer.bytes, answer.count);
    CHECK_IS(client, larder_get_into(client, &item, 1, 0, NULL, NULL, &result), cases[i].expected);
    CHECK(result.status == cases[i].expected);
    if (result.status == LARDER_OK) CHECK(result.bytes == cases[i].bytes && result.tokens == 3);
    end_fake(client, daemon);
  }
}

/* Chunks that come inline, and are as large as, smaller or larger than the memory for them, or than they say. */
static void test_inline_lengths(void) {
  for (uint64_t length = 0; length < 12; length++)
    for (uint64_t said = 0; said < 12; said++) {
      int daemon;
      uint8_t memory[8];
      larder_result result;
      larder_page_in item;
      larder_client *client = fake_client(&daemon);
      subject = "inline lengths";
      client->limits.features = 0;
      memset(&item, 0, sizeof item);
      memset(memory, 0xEE, sizeof memory);
      item.into = memory;
      item.byte_count = 6;
      body answer = get_answer(0, said, 0, 0);
      for (uint64_t i = 0; i < length; i++) add(&answer, i, 1);
      lay_out_frame(daemon, LRD_GET | LRD_ANSWER_BIT, 1, answer.bytes, answer.count);
      larder_status expected = said != length ? LARDER_PROTOCOL_VIOLATION : said > 6 ? LARDER_WRONG_LENGTH : LARDER_OK;
      CHECK_IS(client, larder_get_into(client, &item, 1, 0, NULL, NULL, &result), expected);
      CHECK(result.bytes == (expected == LARDER_OK ? said : 0));
      CHECK(memory[6] == 0xEE && memory[7] == 0xEE);
      end_fake(client, daemon);
    }
}

/* What a progress function was told, and what it tried. */
typedef struct progress_seen {
  larder_client *client;
  unsigned calls;
  uint32_t last;
} progress_seen;

static void see_progress(void *context, uint32_t layers) {
  progress_seen *seen = (progress_seen *)context;
  seen->calls++;
  seen->last = layers;
  CHECK_IS(seen->client, larder_sync(seen->client), LARDER_INVALID_ARGUMENT);
}

/* Frames of progress: as many as there may be, more, some that nobody asked for, and of a wrong length. */
static void test_progress_frames(void) {
  for (unsigned frames = 0; frames <= LRD_PROGRESS_FRAMES + 2; frames++) {
    int daemon;
    larder_result result;
    larder_page_in item;
    larder_client *client = fake_client(&daemon);
    larder_arena *arena = fake_arena(client, 4096);
    progress_seen seen = {client, 0, 0};
    bool is_odd = frames == LRD_PROGRESS_FRAMES + 2;
    bool is_refused = frames > LRD_PROGRESS_FRAMES;
    subject = "progress";
    memset(&item, 0, sizeof item);
    item.into = larder_arena_bytes(arena);
    item.byte_count = 64;
    for (uint32_t i = 1; i <= frames; i++) {
      uint8_t layers[5] = {(uint8_t)i};
      lay_out_frame(daemon, LRD_PROGRESS_TYPE, 1, layers, is_odd ? 5 : 4);
    }
    body answer = get_answer(1, 64, 7, 0);
    lay_out_frame(daemon, LRD_GET_INTO | LRD_ANSWER_BIT, 1, answer.bytes, answer.count);
    CHECK_IS(client, larder_get_into(client, &item, 1, 1, see_progress, &seen, &result),
             is_refused ? LARDER_PROTOCOL_VIOLATION : LARDER_OK);
    CHECK(is_refused || (seen.calls == frames && seen.last == frames));
    end_fake(client, daemon);
  }
  int daemon;
  uint8_t memory[8];
  larder_result result;
  larder_page_in item;
  larder_client *client = fake_client(&daemon);
  memset(&item, 0, sizeof item);
  item.into = memory;
  item.byte_count = sizeof memory;
  client->limits.features = 0;
  lay_out_frame(daemon, LRD_PROGRESS_TYPE, 1, memory, 4);
  CHECK_IS(client, larder_get_into(client, &item, 1, 0, NULL, NULL, &result), LARDER_PROTOCOL_VIOLATION);
  end_fake(client, daemon);
}

/* A daemon that writes long answers before it reads: who sends must receive meanwhile, or both wait for ever. */
static void test_both_ways(void) {
  enum { ITEMS = 2000, MESSAGE = 1000, EACH = 16 << 10 };
  int daemon, code = 0, room = 64 << 10;
  larder_client *client = fake_client(&daemon);
  larder_page_out *items = small_items(ITEMS);
  larder_result *results = (larder_result *)must_allocate(ITEMS * sizeof *results);
  uint8_t *bytes = (uint8_t *)must_allocate(EACH);
  subject = "both ways";
  setsockopt(client->socket, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  setsockopt(daemon, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  client->limits.features = 0;
  for (unsigned i = 0; i < ITEMS; i++) items[i].bytes = bytes;
  for (unsigned i = 0; i < ITEMS; i++) items[i].byte_count = EACH;
  pid_t child = fork();
  if (child == 0) {
    fcntl(daemon, F_SETFL, 0);
    close(client->socket);
    /* 8 MiB a request: 512 items each, but for the last. */
    for (uint64_t id = 1; id <= 4; id++) {
      uint32_t count = id < 4 ? 512 : ITEMS - 3 * 512;
      size_t length = 4 + count * (size_t)(2 + 2 + MESSAGE + 8);
      uint8_t *answer = (uint8_t *)must_allocate(length), *at = answer + 4;
      for (int i = 0; i < 4; i++) answer[i] = (uint8_t)(count >> (8 * i));
      for (uint32_t i = 0; i < count; i++, at += 2 + 2 + MESSAGE + 8) {
        memset(at, 'm', 2 + 2 + MESSAGE);
        at[0] = LARDER_FULL;
        at[1] = 0;
        at[2] = MESSAGE & 0xFF;
        at[3] = MESSAGE >> 8;
      }
      frame_bytes frame = frame_of(LRD_PUT | LRD_ANSWER_BIT, id, answer, length);
      for (size_t sent = 0; sent < frame.count;) {
        ssize_t written = write(daemon, frame.bytes + sent, frame.count - sent);
        if (written <= 0) _exit(1);
        sent += (size_t)written;
      }
    }
    uint8_t taken[4096];
    while (read(daemon, taken, sizeof taken) > 0) continue;
    _exit(0);
  }
  CHECK_IS(client, larder_put_from(client, items, ITEMS, LARDER_COMMITTED, LARDER_AUTO, results), LARDER_FULL);
  CHECK(larder_is_usable(client));
  CHECK(results[ITEMS - 1].status == LARDER_FULL && strlen(results[0].message) == MESSAGE);
  end_fake(client, daemon);
  waitpid(child, &code, 0);
  CHECK(WIFEXITED(code) && WEXITSTATUS(code) == 0);
  free(items);
  free(results);
  free(bytes);
}

/* Answers that are well formed and cannot be true. */
static void test_untrue_answers(void) {
  int daemon;
  uint8_t bytes[36] = {1};
  uint32_t matched;
  larder_key keys[2];
  larder_declared declared;
  larder_component component = {"a", LARDER_ATTENTION, LARDER_F16, 1, 1, 2, 0};
  larder_model model = {"m", "", "", 1, 1, 0, &component, 1};
  larder_client *client = fake_client(&daemon);
  subject = "untrue answers";
  memset(keys, 0, sizeof keys);
  lay_out_frame(daemon, LRD_DECLARE_MODEL | LRD_ANSWER_BIT, 1, bytes, sizeof bytes);
  CHECK_IS(client, larder_declare_model(client, &model, &declared), LARDER_PROTOCOL_VIOLATION);
  check_lost(client);
  end_fake(client, daemon);
  client = fake_client(&daemon);
  bytes[0] = 3;
  lay_out_frame(daemon, LRD_MATCH | LRD_ANSWER_BIT, 1, bytes, 4);
  CHECK_IS(client, larder_match(client, "a", 1, 0, keys, 2, &matched), LARDER_PROTOCOL_VIOLATION);
  check_lost(client);
  end_fake(client, daemon);
  uint8_t byte, miss[] = {1, 0, 0, 0, LARDER_MISS, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0};
  larder_page_in item;
  larder_result result;
  memset(&item, 0, sizeof item);
  item.into = &byte;
  item.byte_count = 1;
  client = fake_client(&daemon);
  client->limits.features = 0;
  lay_out_frame(daemon, LRD_GET | LRD_ANSWER_BIT, 1, miss, sizeof miss); /* a miss of 5 bytes */
  CHECK_IS(client, larder_get_into(client, &item, 1, 0, NULL, NULL, &result), LARDER_PROTOCOL_VIOLATION);
  check_lost(client);
  end_fake(client, daemon);
}

static void test_batches(void) {
  test_both_ways();
  test_untrue_answers();
  test_order();
  test_refused_part();
  test_lost_part();
  test_wrong_counts();
  test_places();
  test_inline_lengths();
  test_progress_frames();
}

#endif
