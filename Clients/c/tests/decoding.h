/* Every kind of answer through its decoder: as the vectors have it, hostile, and mutated at random. */
#ifndef LARDER_TESTS_DECODING_H
#define LARDER_TESTS_DECODING_H

#include "answers.h"

/* Hands an answer to `check` where the vector is to be compared, and frees it. A fault must leave none. */
#define DECODE_LISTS(type, decode, check)                       \
  do {                                                          \
    type *answer = (type *)(void *)&answer;                     \
    status = decode(body, count, &answer, &reason);             \
    CHECK((status == LARDER_OK) == (answer != NULL));           \
    if (status == LARDER_OK && compare) check(v, answer);       \
    larder_free(answer);                                        \
  } while (0)

static void check_snapshots(const vector *v, const larder_snapshot_plan *plan) {
  CHECK(plan->count == NUMBER(v, "offsets.#"));
  for (unsigned i = 0; i < plan->count; i++) CHECK(plan->offsets[i] == NUMBER(v, "offsets.%u", i));
}

static void check_chunks(const vector *v, const larder_chunk_page *page) {
  CHECK(page->count == NUMBER(v, "chunks.#"));
  for (unsigned i = 0; i < page->count; i++) check_summary(v, i, &page->chunks[i]);
}

static void check_limits(const vector *v, const larder_limits *answer) {
  CHECK(answer->version == NUMBER(v, "version") && answer->features == NUMBER(v, "features"));
  CHECK(answer->frame_bytes == NUMBER(v, "frame_bytes") && answer->batch_items == NUMBER(v, "batch_items"));
  CHECK(answer->requests_in_flight == NUMBER(v, "requests_in_flight"));
  CHECK(IS_TEXT(answer->store_id, v, "store_id") && IS_TEXT(answer->server_name, v, "server_name"));
}

/* How many results an answer to a batch is to have: what it says, if the batch could have had so many items. */
static size_t expected_results(const uint8_t *body, size_t count) {
  size_t said = count < 4 ? 0 : (size_t)body[0] | (size_t)body[1] << 8 | (size_t)body[2] << 16 | (size_t)body[3] << 24;
  return said > 16 ? 16 : said;
}

static void check_item_error(const vector *v, unsigned index, larder_status status, const char *message) {
  CHECK((unsigned)status == NUMBER(v, "results.%u.error.code", index));
  CHECK(IS_TEXT(message, v, "results.%u.error.message", index));
}

static larder_status decode_put(const vector *v, uint8_t *body, size_t count, bool compare) {
  larder_result results[16];
  lrd_keeper keeper = {NULL, 0};
  const char *reason;
  size_t items = expected_results(body, count);
  larder_status status = lrd_decode_put(body, count, results, items, &keeper, &reason);
  for (unsigned i = 0; compare && i < items; i++) {
    check_item_error(v, i, results[i].status, results[i].message);
    CHECK(results[i].bytes == NUMBER(v, "results.%u.stored_bytes", i));
  }
  lrd_forget(&keeper);
  return status;
}

static larder_status decode_get(const vector *v, uint8_t *body, size_t count, bool compare) {
  lrd_served served[16];
  lrd_keeper keeper = {NULL, 0};
  const char *reason;
  size_t items = expected_results(body, count), payload = 0;
  larder_status status = lrd_decode_get(body, count, served, items, &keeper, &reason);
  for (unsigned i = 0; compare && i < items; i++) {
    check_item_error(v, i, served[i].result.status, served[i].result.message);
    CHECK(served[i].result.tokens == NUMBER(v, "results.%u.tokens", i));
    CHECK(served[i].place.in_arena == (NUMBER(v, "results.%u.payload_place", i) == 1));
    CHECK(served[i].place.bytes == NUMBER(v, "results.%u.payload_bytes", i));
    CHECK(served[i].place.arena == NUMBER(v, "results.%u.arena", i));
    CHECK(served[i].place.offset == NUMBER(v, "results.%u.arena_offset", i));
    if (served[i].payload == NULL) continue;
    size_t bytes = (size_t)served[i].place.bytes;
    CHECK(payload + bytes <= v->payload_bytes && memcmp(served[i].payload, v->payload + payload, bytes) == 0);
    payload += bytes;
  }
  if (compare) CHECK(payload == v->payload_bytes);
  lrd_forget(&keeper);
  return status;
}

static larder_status decode_hints(const vector *v, uint8_t *body, size_t count, bool compare) {
  larder_hint_result results[16];
  lrd_keeper keeper = {NULL, 0};
  const char *reason;
  size_t hints = expected_results(body, count);
  larder_status status = lrd_decode_hints(body, count, results, hints, &keeper, &reason);
  for (unsigned i = 0; compare && i < hints; i++) {
    CHECK((unsigned)results[i].outcome == NUMBER(v, "results.%u.outcome", i));
    CHECK((unsigned)results[i].bound == NUMBER(v, "results.%u.bound", i));
    CHECK(results[i].from == NUMBER(v, "results.%u.from", i) && results[i].to == NUMBER(v, "results.%u.to", i));
    CHECK(results[i].seconds == NUMBER(v, "results.%u.seconds", i));
    CHECK(IS_TEXT(results[i].reason, v, "results.%u.reason", i));
  }
  lrd_forget(&keeper);
  return status;
}

static larder_status decode_refusal(const vector *v, uint8_t *body, size_t count, bool compare) {
  lrd_refusal refusal;
  const char *reason;
  larder_status status = lrd_decode_refusal(body, count, &refusal, &reason);
  if (!compare) return status;
  CHECK((unsigned)refusal.status == NUMBER(v, "code"));
  CHECK(refusal.item == (IS_NULL(v, "item") ? UINT32_MAX : NUMBER(v, "item")));
  CHECK(IS_TEXT(refusal.message, v, "message"));
  return status;
}

/* Answers of fixed size. False if it is none. */
static bool decode_fixed(const vector *v, uint8_t *body, size_t count, bool compare, larder_status *status) {
  const char *message = v->message, *reason;
  uint64_t two[2] = {0, 0};
  uint32_t number = 0;
  larder_limits agreed;
  larder_declared declared;
  larder_session session = {0, false};
  larder_policy policy;
  const char *numbers[] = {"match", "matched", "open_arena", "arena", "register_arena", "arena", "get_into", "layers"};
  const char *nothing[] = {"truncate", "drop", "sync", "close_arena", "prefetch", "configure_session",
                           "set_prefill_rate"};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i += 2) {
    if (strcmp(message, numbers[i]) != 0 || (i == 6 && strcmp(v->kind, "progress") != 0)) continue;
    *status = lrd_decode_u32(body, count, &number, &reason);
    if (compare) CHECK(number == NUMBER(v, "%s", numbers[i + 1]));
    return true;
  }
  for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
    if (strcmp(message, nothing[i]) != 0) continue;
    *status = lrd_decode_nothing(body, count, &reason);
    return true;
  }
  if (strcmp(message, "hello") == 0) {
    *status = lrd_decode_hello(body, count, &agreed, &reason);
    if (compare) check_limits(v, &agreed);
  } else if (strcmp(message, "declare_model") == 0) {
    *status = lrd_decode_declared(body, count, &declared, &reason);
    if (compare) CHECK(declared.model_id == NUMBER(v, "model_id"));
    if (compare) CHECK(is_key(TEXT(v, "fingerprint"), &declared.fingerprint));
  } else if (strcmp(message, "open_session") == 0 || strcmp(message, "fork") == 0) {
    *status = lrd_decode_session(body, count, &session, &reason);
    if (compare) CHECK(session.id == NUMBER(v, "session") && session.created == (NUMBER(v, "created") == 1));
  } else if (strcmp(message, "configure_namespace") == 0) {
    *status = lrd_decode_policy(body, count, &policy, &reason);
    if (compare) check_policy(v, "", &policy);
  } else if (strcmp(message, "set_cap") == 0) {
    *status = lrd_decode_two(body, count, two, &reason);
    if (compare) CHECK(two[0] == NUMBER(v, "cap_bytes") && two[1] == NUMBER(v, "disk_bytes"));
  } else {
    return false;
  }
  return true;
}

/* Decodes a body as an answer to v->message; compares it with v's fields if told to. */
static larder_status decode_answer(const vector *v, uint8_t *body, size_t count, bool compare) {
  const char *message = v->message, *reason = "";
  larder_status status = LARDER_INTERNAL;
  if (strcmp(v->kind, "refusal") == 0) return decode_refusal(v, body, count, compare);
  if (decode_fixed(v, body, count, compare, &status)) return status;
  if (strcmp(message, "put") == 0) return decode_put(v, body, count, compare);
  if (strcmp(message, "get") == 0 || strcmp(message, "get_into") == 0) return decode_get(v, body, count, compare);
  if (strcmp(message, "hint") == 0) return decode_hints(v, body, count, compare);
  if (strcmp(message, "resume") == 0)
    DECODE_LISTS(larder_resume_plan, lrd_decode_resume, check_resume);
  else if (strcmp(message, "plan_snapshots") == 0)
    DECODE_LISTS(larder_snapshot_plan, lrd_decode_snapshots, check_snapshots);
  else if (strcmp(message, "explain") == 0)
    DECODE_LISTS(larder_explanation, lrd_decode_explain, check_explanation);
  else if (strcmp(message, "list_models") == 0)
    DECODE_LISTS(larder_model_page, lrd_decode_models, check_models);
  else if (strcmp(message, "list_namespaces") == 0)
    DECODE_LISTS(larder_namespace_page, lrd_decode_namespaces, check_namespaces);
  else if (strcmp(message, "list_sessions") == 0)
    DECODE_LISTS(larder_session_page, lrd_decode_sessions, check_sessions);
  else if (strcmp(message, "list_chunks") == 0)
    DECODE_LISTS(larder_chunk_page, lrd_decode_chunks, check_chunks);
  else if (strcmp(message, "stat") == 0)
    DECODE_LISTS(larder_statistics, lrd_decode_stat, check_statistics);
  else if (strcmp(message, "verify") == 0)
    DECODE_LISTS(larder_verification, lrd_decode_verify, check_verification);
  else if (strcmp(message, "report") == 0)
    DECODE_LISTS(larder_report_page, lrd_decode_report, check_report);
  else
    check_failed(__FILE__, __LINE__, "an answer that the header does not have", message);
  (void)reason;
  return status;
}

/* A copy of a frame's body in memory of exactly its size, so that a sanitizer sees every byte read beyond it. */
static uint8_t *body_of(const vector *v, size_t *count) {
  *count = v->frame_bytes - LRD_HEADER_BYTES;
  uint8_t *body = (uint8_t *)malloc(*count == 0 ? 1 : *count);
  if (body == NULL) exit(1);
  memcpy(body, v->frame + LRD_HEADER_BYTES, *count);
  return body;
}

static void check_answer(const vector *v, bool compare, larder_status expected) {
  size_t count;
  uint8_t *body = body_of(v, &count);
  CHECK(decode_answer(v, body, count, compare) == expected);
  free(body);
}

#endif
