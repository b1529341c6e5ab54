/* Paging against a live daemon: every kind of memory, batches, layers, keys, and what is refused. */
#ifndef LARDER_TESTS_PAGING_TEST_H
#define LARDER_TESTS_PAGING_TEST_H

#include "daemon.h"

#include <sys/resource.h>

/* Puts `count` chunks of `tokens` tokens from one memory, gets them into another, and compares. */
static void check_round_trip(larder_client *client, uint64_t session, uint8_t *from, uint8_t *into, size_t count,
                             uint32_t tokens) {
  size_t bytes = (size_t)tokens * TOKEN_BYTES;
  larder_page_out *outs = (larder_page_out *)must_allocate(count * sizeof *outs);
  larder_page_in *ins = (larder_page_in *)must_allocate(count * sizeof *ins);
  larder_result *results = (larder_result *)must_allocate(count * sizeof *results);
  for (size_t i = 0; i < count; i++) {
    fill_random(from + i * bytes, bytes, session * 1000003 + i);
    memset(into + i * bytes, 0, bytes);
    outs[i] = page_out_of(session, i * tokens, tokens, from + i * bytes);
    ins[i] = page_in_of(&outs[i], into + i * bytes);
  }
  CHECK_OK(client, larder_put_from(client, outs, count, LARDER_COMMITTED, LARDER_AUTO, results));
  for (size_t i = 0; i < count; i++) CHECK(results[i].status == LARDER_OK && results[i].bytes > 0);
  CHECK_OK(client, larder_get_into(client, ins, count, 0, NULL, NULL, results));
  for (size_t i = 0; i < count; i++)
    CHECK(results[i].status == LARDER_OK && results[i].bytes == bytes && results[i].tokens == tokens);
  CHECK(memcmp(from, into, count * bytes) == 0);
  free(outs);
  free(ins);
  free(results);
}

/* Chunks of 4 MB beside chunks of 20 MB in one batch: these take all of the connection's own arena, and neither may be
 * written over the other while it is under way. */
static void check_mixed_sizes(larder_client *client, uint64_t session) {
  enum { COUNT = 12 };
  larder_page_out outs[COUNT];
  larder_page_in ins[COUNT];
  larder_result results[COUNT];
  uint64_t offset = 0;
  for (unsigned i = 0; i < COUNT; i++) {
    uint32_t tokens = i % 5 == 4 ? 20000 : 4000;
    uint8_t *bytes = (uint8_t *)must_allocate((size_t)tokens * TOKEN_BYTES);
    fill_random(bytes, (size_t)tokens * TOKEN_BYTES, 500 + i);
    outs[i] = page_out_of(session, offset, tokens, bytes);
    ins[i] = page_in_of(&outs[i], must_allocate(outs[i].byte_count));
    offset += tokens;
  }
  CHECK_OK(client, larder_put_from(client, outs, COUNT, LARDER_COMMITTED, LARDER_RAW, results));
  CHECK_OK(client, larder_get_into(client, ins, COUNT, 0, NULL, NULL, results));
  for (unsigned i = 0; i < COUNT; i++) {
    CHECK(memcmp(outs[i].bytes, ins[i].into, outs[i].byte_count) == 0);
    free((void *)(uintptr_t)outs[i].bytes);
    free(ins[i].into);
  }
  CHECK_OK(client, larder_drop(client, session));
}

/* The same from and into memory of every kind. */
static void test_memory(const live_daemon *d) {
  larder_client *client = must_connect(d);
  uint32_t model = must_declare(client, "memory", false);
  size_t bytes = 1300 * 4 * TOKEN_BYTES;
  uint8_t *from = (uint8_t *)must_allocate(bytes), *into = (uint8_t *)must_allocate(bytes);
  larder_arena *made = NULL, *mapped = NULL, *own = NULL;
  int descriptor = -1;
  subject = "memory of the caller's";
  CHECK(larder_has_arenas(client));
  check_round_trip(client, must_open(client, "callers", model), from, into, 1300, 4);
  subject = "chunks larger than a slot";
  check_round_trip(client, must_open(client, "large", model), from, into, 3, 1700); /* 1.7 MB */
  uint8_t *huge = (uint8_t *)must_allocate(2 * 20000 * TOKEN_BYTES);
  check_round_trip(client, must_open(client, "huge", model), huge, huge + 20000 * TOKEN_BYTES, 1, 20000); /* 20 MB */
  check_round_trip(client, must_open(client, "huger", model), huge, huge + 20000 * TOKEN_BYTES, 2, 9000); /* 9 MB */
  free(huge);
  subject = "mixed sizes";
  check_mixed_sizes(client, must_open(client, "mixed", model));
  subject = "arenas";
  CHECK_OK(client, larder_open_arena(client, 2 * bytes, &made));
  check_round_trip(client, must_open(client, "arena", model), (uint8_t *)larder_arena_bytes(made),
                   (uint8_t *)larder_arena_bytes(made) + bytes, 1300, 4);
  CHECK_OK(client, larder_close_arena(made));
  CHECK(larder_sealed_memfd(2 * bytes, &descriptor) == LARDER_OK);
  CHECK_OK(client, larder_register_arena(client, descriptor, NULL, 2 * bytes, &mapped));
  check_round_trip(client, must_open(client, "mapped", model), (uint8_t *)larder_arena_bytes(mapped),
                   (uint8_t *)larder_arena_bytes(mapped) + bytes, 1300, 4);
  CHECK_OK(client, larder_close_arena(mapped));
  uint8_t *mapping = (uint8_t *)mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  CHECK_OK(client, larder_register_arena(client, descriptor, mapping, 2 * bytes, &own));
  CHECK(larder_arena_bytes(own) == mapping);
  check_round_trip(client, must_open(client, "own", model), mapping, mapping + bytes, 1300, 4);
  check_round_trip(client, must_open(client, "from own", model), mapping, into, 1300, 4);
  CHECK_OK(client, larder_close_arena(own));
  mapping[0] = 1; /* still the caller's */
  munmap(mapping, 2 * bytes);
  close(descriptor);
  subject = "over the socket";
  client->limits.features = 0;
  larder_close_arena(client->stage);
  check_round_trip(client, must_open(client, "inline", model), from, into, 1300, 4);
  check_round_trip(client, must_open(client, "inline large", model), from, into, 3, 1700);
  subject = "small frames";
  client->out.limit = 10000;
  check_round_trip(client, must_open(client, "small frames", model), from, into, 100, 4);
  client->out.limit = 2 * 4 * TOKEN_BYTES + 50; /* two chunks, but not with the fields of their items */
  check_round_trip(client, must_open(client, "full frames", model), from, into, 9, 4);
  larder_close(client);
  free(from);
  free(into);
}

/* Sixteen arenas and no more; what then has none of its own goes over the socket. */
static void test_many_arenas(const live_daemon *d) {
  larder_client *client = must_connect(d);
  uint64_t session = must_open(client, "many arenas", must_declare(client, "memory", false));
  larder_arena *arenas[LARDER_ARENAS + 1];
  static uint8_t from[TOKEN_BYTES], into[TOKEN_BYTES];
  subject = "many arenas";
  for (unsigned i = 0; i < LARDER_ARENAS; i++) CHECK_OK(client, larder_open_arena(client, 4096 + i, &arenas[i]));
  CHECK_IS(client, larder_open_arena(client, 4096, &arenas[LARDER_ARENAS]), LARDER_BUSY);
  CHECK(arenas[LARDER_ARENAS] == NULL);
  check_round_trip(client, session, from, into, 1, 1);
  CHECK(client->stage == NULL);
  for (unsigned i = 0; i < LARDER_ARENAS; i++) CHECK_OK(client, larder_close_arena(arenas[i]));
  larder_close(client);
}

/* Where the system maps no more, an arena goes back to the daemon, and the connection goes on. A sanitizer maps for
 * itself. */
static void test_no_room_to_map(const live_daemon *d) {
#if defined(__SANITIZE_ADDRESS__)
  (void)d;
#else
  larder_client *client = must_connect(d);
  larder_arena *arena = NULL;
  struct rlimit before, none;
  subject = "no room to map";
  CHECK(getrlimit(RLIMIT_AS, &before) == 0);
  none = before;
  none.rlim_cur = 1;
  CHECK(setrlimit(RLIMIT_AS, &none) == 0);
  for (unsigned i = 0; i < 2 * LARDER_ARENAS; i++)
    CHECK_IS(client, larder_open_arena(client, 1 << 20, &arena), LARDER_SYSTEM);
  CHECK(setrlimit(RLIMIT_AS, &before) == 0);
  CHECK(arena == NULL && larder_is_usable(client));
  CHECK_OK(client, larder_open_arena(client, 1 << 20, &arena));
  larder_close(client);
#endif
}

/* Layer ranges, and layers that land one group after another. */
static void test_layers(const live_daemon *d) {
  enum { TOKENS = 3000, LAYER = TOKENS * PLANES * ROW_BYTES };
  larder_client *client = must_connect(d);
  uint64_t session = must_open(client, "layers", must_declare(client, "memory", false));
  uint8_t *from = (uint8_t *)must_allocate(TOKENS * TOKEN_BYTES);
  larder_arena *arena = NULL;
  larder_result result;
  progress_seen seen = {client, 0, 0};
  subject = "layers";
  fill_random(from, TOKENS * TOKEN_BYTES, 9);
  larder_page_out out = page_out_of(session, 0, TOKENS, from);
  CHECK_OK(client, put_one(client, &out));
  CHECK_OK(client, larder_open_arena(client, TOKENS * TOKEN_BYTES, &arena));
  uint8_t *into = (uint8_t *)larder_arena_bytes(arena);
  larder_page_in in = page_in_of(&out, into);
  in.first_layer = 2;
  in.layers = 3;
  CHECK_OK(client, larder_get_into(client, &in, 1, 0, NULL, NULL, &result));
  CHECK(result.bytes == 3 * LAYER && memcmp(into, from + 2 * LAYER, 3 * LAYER) == 0);
  in.first_layer = 7;
  in.layers = 2;
  CHECK_IS(client, larder_get_into(client, &in, 1, 0, NULL, NULL, &result), LARDER_INVALID_ARGUMENT);
  in = page_in_of(&out, into);
  memset(into, 0, TOKENS * TOKEN_BYTES);
  CHECK_OK(client, larder_get_into(client, &in, 1, 2, see_progress, &seen, &result));
  CHECK(memcmp(into, from, TOKENS * TOKEN_BYTES) == 0);
  CHECK(seen.calls <= 3 && (seen.calls == 0 || (seen.last % 2 == 0 && seen.last < LAYERS)));
  printf("progress: told %u times of 3\n", seen.calls);
  larder_close(client);
  free(from);
}

/* Prefix keys: another session gets a chunk by its key alone. */
static void test_prefix_keys(const live_daemon *d) {
  enum { CHUNKS = 4, TOKENS = 16 };
  larder_client *client = must_connect(d);
  uint32_t model = must_declare(client, "memory", false), matched = 0, tokens[CHUNKS * TOKENS];
  uint64_t first = must_open(client, "keys 1", model), second = must_open(client, "keys 2", model);
  uint8_t *bytes = (uint8_t *)must_allocate(CHUNKS * TOKENS * TOKEN_BYTES), *into;
  larder_key keys[CHUNKS];
  larder_page_out outs[CHUNKS];
  larder_result results[CHUNKS];
  larder_hint_result made;
  subject = "prefix keys";
  for (uint32_t i = 0; i < CHUNKS * TOKENS; i++) tokens[i] = i + 77;
  fill_random(bytes, CHUNKS * TOKENS * TOKEN_BYTES, 3);
  CHECK(larder_prefix_keys(tokens, CHUNKS * TOKENS, TOKENS, "test", 4, NULL, keys) == CHUNKS);
  for (unsigned i = 0; i < CHUNKS; i++) {
    outs[i] = page_out_of(first, i * TOKENS, TOKENS, bytes + i * TOKENS * TOKEN_BYTES);
    outs[i].prefix_key = i < 3 ? &keys[i] : NULL;
  }
  CHECK_OK(client, larder_match(client, "tests", model, 0, keys, CHUNKS, &matched));
  CHECK(matched == 0);
  CHECK_OK(client, larder_put_from(client, outs, CHUNKS, LARDER_COMMITTED, LARDER_AUTO, results));
  CHECK_OK(client, larder_match(client, "tests", model, 0, keys, CHUNKS, &matched));
  CHECK(matched == 3);
  CHECK_OK(client, larder_match(client, "no such namespace", model, 0, keys, CHUNKS, &matched));
  CHECK(matched == 0);
  for (unsigned i = 0; i < CHUNKS; i++) {
    outs[i].chunk.session = second;
    outs[i].bytes = NULL;
    outs[i].byte_count = 0;
    outs[i].prefix_key = &keys[i];
  }
  CHECK_IS(client, larder_put_from(client, outs, CHUNKS, LARDER_COMMITTED, LARDER_AUTO, results), LARDER_MISS);
  for (unsigned i = 0; i < CHUNKS; i++) CHECK(results[i].status == (i < 3 ? LARDER_OK : LARDER_MISS));
  into = (uint8_t *)must_allocate(TOKENS * TOKEN_BYTES);
  larder_page_out third = page_out_of(second, 2 * TOKENS, TOKENS, into);
  larder_page_in in = page_in_of(&third, into);
  CHECK_OK(client, larder_get_into(client, &in, 1, 0, NULL, NULL, results));
  CHECK(memcmp(into, bytes + 2 * TOKENS * TOKEN_BYTES, TOKENS * TOKEN_BYTES) == 0);
  CHECK_OK(client, larder_share(client, first, 0, 0, 3 * TOKENS, CHUNKS * TOKENS, &keys[3], 1, &made));
  CHECK(made.outcome == LARDER_HINT_ACCEPTED && made.reason[0] == 0);
  CHECK_OK(client, larder_match(client, "tests", model, 0, keys, CHUNKS, &matched));
  CHECK(matched == CHUNKS);
  free(bytes);
  free(into);
  larder_close(client);
}

/* What is refused of an item is its own fault, named; the others are done. */
static void test_refused_items(const live_daemon *d) {
  larder_client *client = must_connect(d);
  uint64_t session = must_open(client, "refused", must_declare(client, "memory", false));
  static uint8_t bytes[4 * TOKEN_BYTES], other[4 * TOKEN_BYTES];
  larder_result results[8];
  subject = "refused items";
  fill_random(bytes, sizeof bytes, 1);
  fill_random(other, sizeof other, 2);
  larder_page_out outs[8];
  for (unsigned i = 0; i < 8; i++) outs[i] = page_out_of(session, i * 4, 4, bytes);
  CHECK_OK(client, larder_put_from(client, outs, 2, LARDER_DURABLE, LARDER_RAW, results));
  outs[1].bytes = other;                                    /* conflict: other bytes */
  outs[2].chunk.offset = 6;                                 /* overlap */
  outs[3].byte_count -= 1;                                  /* wrong length */
  outs[4].chunk.session = 999999;                           /* unknown session */
  outs[5].chunk.component = 5;                              /* unknown component */
  outs[6].tokens = 0;                                       /* no tokens in an attention chunk */
  static const larder_status expected[8] = {LARDER_OK, LARDER_CONFLICT, LARDER_OVERLAP, LARDER_WRONG_LENGTH,
                                            LARDER_UNKNOWN_SESSION, LARDER_UNKNOWN_COMPONENT,
                                            LARDER_INVALID_ARGUMENT, LARDER_OK};
  CHECK_IS(client, larder_put_from(client, outs, 8, LARDER_COMMITTED, LARDER_AUTO, results), LARDER_CONFLICT);
  CHECK(strncmp(larder_message(client), "item 1: ", 8) == 0);
  for (unsigned i = 0; i < 8; i++) {
    CHECK(results[i].status == expected[i]);
    CHECK((results[i].message[0] != 0) == (expected[i] != LARDER_OK));
  }
  larder_page_out there = page_out_of(session, 0, 4, bytes);
  larder_page_in ins[3] = {page_in_of(&there, other), page_in_of(&there, other), page_in_of(&there, other)};
  ins[1].chunk.offset = 1; /* inside a chunk */
  ins[2].byte_count = 100; /* too small */
  CHECK_IS(client, larder_get_into(client, ins, 3, 0, NULL, NULL, results), LARDER_MISS);
  CHECK(results[0].status == LARDER_OK && memcmp(other, bytes, sizeof bytes) == 0);
  CHECK(results[1].status == LARDER_MISS && results[2].status == LARDER_WRONG_LENGTH);
  larder_arena *arena = NULL;
  CHECK_OK(client, larder_open_arena(client, 8 * TOKEN_BYTES, &arena));
  ins[0] = ins[1] = page_in_of(&there, larder_arena_bytes(arena));
  CHECK_IS(client, larder_get_into(client, ins, 2, 0, NULL, NULL, results), LARDER_INVALID_ARGUMENT);
  CHECK(results[0].status == LARDER_INVALID_ARGUMENT && results[1].status == LARDER_INVALID_ARGUMENT);
  CHECK_OK(client, larder_get_into(client, ins, 1, 0, NULL, NULL, results));
  larder_close(client);
}

/* Many small items, many results with messages: more texts than a connection keeps. */
static void test_many_misses(const live_daemon *d) {
  enum { COUNT = 60000 };
  larder_client *client = must_connect(d);
  uint64_t session = must_open(client, "misses", must_declare(client, "memory", false));
  static uint8_t byte[TOKEN_BYTES];
  larder_page_in *ins = (larder_page_in *)must_allocate(COUNT * sizeof *ins);
  larder_result *results = (larder_result *)must_allocate(COUNT * sizeof *results);
  subject = "many misses";
  for (unsigned i = 0; i < COUNT; i++) {
    larder_page_out out = page_out_of(session, i, 1, byte);
    ins[i] = page_in_of(&out, byte);
  }
  CHECK_IS(client, larder_get_into(client, ins, COUNT, 0, NULL, NULL, results), LARDER_MISS);
  unsigned misses = 0, without = 0;
  for (unsigned i = 0; i < COUNT; i++) misses += results[i].status == LARDER_MISS;
  for (unsigned i = 0; i < COUNT; i++) without += results[i].message[0] == 0;
  CHECK(misses == COUNT && without > 0 && results[0].message[0] != 0);
  CHECK(client->keeper.bytes <= LARDER_KEPT_BYTES);
  CHECK_OK(client, larder_sync(client));
  CHECK(client->keeper.bytes == 0);
  free(ins);
  free(results);
  larder_close(client);
}

#endif
