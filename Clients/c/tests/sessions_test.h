/* Sessions, resume points, hints, policies and listings against a live daemon. */
#ifndef LARDER_TESTS_SESSIONS_TEST_H
#define LARDER_TESTS_SESSIONS_TEST_H

#include "paging_test.h"

static void test_models(const live_daemon *d) {
  larder_client *client = must_connect(d);
  larder_component component = {"a", LARDER_ATTENTION, LARDER_F16, 1, 1, 2, 0};
  larder_model model = {"m", "", "", 1, 1, 0, &component, 1};
  larder_declared first, again;
  subject = "models";
  CHECK_OK(client, larder_declare_model(client, &model, &first));
  CHECK_OK(client, larder_declare_model(client, &model, &again));
  CHECK(first.model_id == again.model_id);
  model.revision = "v2";
  CHECK_OK(client, larder_declare_model(client, &model, &again));
  CHECK(first.model_id != again.model_id);
  component.row_bytes = 3; /* half an element */
  CHECK_IS(client, larder_declare_model(client, &model, &again), LARDER_INVALID_MODEL);
  model.component_count = 0;
  CHECK_IS(client, larder_declare_model(client, &model, &again), LARDER_INVALID_MODEL);
  larder_model_page *page = NULL;
  bool is_found = false;
  CHECK_OK(client, larder_list_models(client, 0, &page));
  for (uint32_t i = 0; page != NULL && i < page->count; i++)
    is_found = is_found || (page->models[i].declared.model_id == first.model_id &&
                            strcmp(page->models[i].model.components[0].name, "a") == 0);
  CHECK(is_found);
  larder_free(page);
  CHECK_OK(client, larder_set_prefill_rate(client, first.model_id, 1700));
  CHECK_IS(client, larder_set_prefill_rate(client, 4000000, 1700), LARDER_UNKNOWN_MODEL);
  larder_close(client);
}

/* Opens, forks, truncates and drops sessions. */
static void test_sessions(const live_daemon *d) {
  larder_client *client = must_connect(d);
  uint32_t model = must_declare(client, "memory", false), other = must_declare(client, "other", false);
  larder_session session, fork;
  static uint8_t bytes[10 * TOKEN_BYTES];
  larder_resume_plan *plan = NULL;
  subject = "sessions";
  CHECK_IS(client, larder_open_session(client, "tests", "s", model, false, &session), LARDER_UNKNOWN_SESSION);
  CHECK(strlen(larder_message(client)) > 0);
  CHECK_OK(client, larder_open_session(client, "tests", "s", model, true, &session));
  CHECK(session.created);
  CHECK_OK(client, larder_open_session(client, "tests", "s", model, true, &fork));
  CHECK(!fork.created && fork.id == session.id);
  CHECK_IS(client, larder_open_session(client, "tests", "s", other, true, &fork), LARDER_MODEL_MISMATCH);
  CHECK_IS(client, larder_open_session(client, "tests", "", model, true, &fork), LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_open_session(client, "tests", "\xff\xfe", model, true, &fork), LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_open_session(client, "tests", "t", 4000000, true, &fork), LARDER_UNKNOWN_MODEL);
  for (unsigned i = 0; i < 10; i++) {
    larder_page_out out = page_out_of(session.id, i, 1, bytes + i * TOKEN_BYTES);
    fill_random(bytes + i * TOKEN_BYTES, TOKEN_BYTES, i);
    CHECK_OK(client, put_one(client, &out));
  }
  CHECK_OK(client, larder_resume(client, session.id, LARDER_WHOLE, 1000, &plan));
  CHECK(plan != NULL && plan->offset == 10 && plan->complete && plan->chunk_count == 10 && plan->reach_count == 1);
  CHECK(plan != NULL && plan->raw_bytes == sizeof bytes && plan->prefill_rate == 1000);
  CHECK(plan != NULL && plan->chunks[9].chunk.offset == 9 && plan->chunks[9].tokens == 1);
  larder_free(plan);
  CHECK_OK(client, larder_fork(client, session.id, 6, "s/fork", &fork));
  CHECK(fork.created && fork.id != session.id);
  CHECK_IS(client, larder_fork(client, session.id, 6, "s/fork", &fork), LARDER_EXISTS);
  CHECK_IS(client, larder_fork(client, session.id, 11, "s/beyond", &fork), LARDER_INVALID_ARGUMENT);
  CHECK_OK(client, larder_open_session(client, "tests", "s/fork", model, false, &fork));
  CHECK_OK(client, larder_truncate(client, session.id, 2));
  CHECK_OK(client, larder_resume(client, session.id, LARDER_WHOLE, 0, &plan));
  CHECK(plan != NULL && plan->offset == 2);
  larder_free(plan);
  CHECK_OK(client, larder_resume(client, fork.id, 5, 0, &plan));
  CHECK(plan != NULL && plan->offset == 5 && plan->chunk_count == 5);
  larder_free(plan);
  CHECK_OK(client, larder_configure_session(client, fork.id, 7200));
  CHECK_OK(client, larder_drop(client, session.id));
  CHECK_IS(client, larder_drop(client, session.id), LARDER_UNKNOWN_SESSION);
  CHECK_IS(client, larder_resume(client, session.id, LARDER_WHOLE, 0, &plan), LARDER_UNKNOWN_SESSION);
  CHECK(plan == NULL);
  CHECK_IS(client, larder_truncate(client, session.id, 0), LARDER_UNKNOWN_SESSION);
  CHECK_IS(client, larder_prefetch(client, session.id, LARDER_WHOLE), LARDER_UNKNOWN_SESSION);
  CHECK_OK(client, larder_prefetch(client, fork.id, LARDER_WHOLE));
  larder_close(client);
}

/* A hybrid model: snapshots, explanations, resume points at states only. */
static void test_hybrid(const live_daemon *d) {
  larder_client *client = must_connect(d);
  uint32_t model = must_declare(client, "hybrid", true), other = must_declare(client, "memory", false);
  uint64_t session = must_open(client, "hybrid", model);
  static uint8_t bytes[64 * TOKEN_BYTES], state[STATE_BYTES], into[STATE_BYTES];
  larder_snapshot_plan *snapshots = NULL;
  larder_explanation *explanation = NULL;
  larder_resume_plan *plan = NULL;
  larder_result result;
  subject = "a hybrid model";
  fill_random(bytes, sizeof bytes, 5);
  fill_random(state, sizeof state, 6);
  CHECK_OK(client, larder_plan_snapshots(client, session, 64, 0, 16, 16, 0, &snapshots));
  CHECK(snapshots != NULL && snapshots->count == 4 && snapshots->offsets[0] == 16 && snapshots->offsets[3] == 64);
  larder_free(snapshots);
  CHECK_IS(client, larder_plan_snapshots(client, session, 64, 0, 0, 16, 0, &snapshots), LARDER_INVALID_ARGUMENT);
  larder_page_out attention = page_out_of(session, 0, 64, bytes), recurrent = page_out_of(session, 32, 0, state);
  recurrent.chunk.component = 1;
  recurrent.byte_count = sizeof state;
  CHECK_OK(client, put_one(client, &attention));
  CHECK_OK(client, larder_resume(client, session, LARDER_WHOLE, 0, &plan));
  CHECK(plan != NULL && plan->offset == 0);
  larder_free(plan);
  CHECK_OK(client, put_one(client, &recurrent));
  CHECK_OK(client, larder_resume(client, session, LARDER_WHOLE, 0, &plan));
  CHECK(plan != NULL && plan->offset == 32 && plan->chunk_count == 2);
  larder_free(plan);
  larder_page_in in = page_in_of(&recurrent, into);
  CHECK_OK(client, larder_get_into(client, &in, 1, 0, NULL, NULL, &result));
  CHECK(memcmp(into, state, sizeof state) == 0 && result.tokens == 0);
  CHECK_OK(client, larder_explain(client, session, LARDER_WHOLE, other, &explanation));
  CHECK(explanation != NULL && explanation->end == 64 && explanation->offset == 32 && explanation->track_count == 2);
  CHECK(explanation != NULL && explanation->tracks[1].cause == LARDER_NEVER_STORED);
  CHECK(explanation != NULL && explanation->model_difference[0] != 0 && explanation->missing_rank_count == 0);
  larder_free(explanation);
  larder_close(client);
}

static void test_hints(const live_daemon *d) {
  larder_client *client = must_connect(d);
  uint64_t session = must_open(client, "hints", must_declare(client, "memory", false));
  static uint8_t bytes[8 * TOKEN_BYTES];
  larder_hint_result made, two[2];
  larder_hint hints[2];
  subject = "hints";
  fill_random(bytes, sizeof bytes, 4);
  larder_page_out out = page_out_of(session, 0, 8, bytes);
  CHECK_OK(client, put_one(client, &out));
  CHECK_OK(client, larder_retain(client, session, 0, LARDER_WHOLE, 40, 10, &made));
  CHECK(made.outcome == LARDER_HINT_ACCEPTED && made.to == 8 && made.seconds == 40);
  CHECK_OK(client, larder_pin(client, session, 0, 8, 600, &made));
  CHECK(made.outcome == LARDER_HINT_ACCEPTED && made.seconds == 600);
  CHECK_OK(client, larder_pin(client, session, 0, 8, 100000, &made));
  CHECK(made.outcome == LARDER_HINT_CLIPPED && made.bound == LARDER_BOUND_LIMIT && made.reason[0] != 0);
  CHECK_OK(client, larder_demote(client, session, 4, 4, &made));
  CHECK(made.outcome == LARDER_HINT_REJECTED && made.bound == LARDER_BOUND_ARGUMENT);
  CHECK_OK(client, larder_demote(client, 999999, 0, 4, &made));
  CHECK(made.outcome == LARDER_HINT_MISSING);
  CHECK_OK(client, larder_demote(client, session, 0, LARDER_WHOLE, NULL));
  memset(hints, 0, sizeof hints);
  hints[0].kind = LARDER_PREFETCH;
  hints[0].session = session;
  hints[0].to = LARDER_WHOLE;
  hints[1].kind = LARDER_PIN;
  hints[1].target = LARDER_TARGET_KEYS;
  hints[1].namespace_name = "tests";
  CHECK_OK(client, larder_give_hints(client, hints, 2, two));
  CHECK(two[0].outcome == LARDER_HINT_ACCEPTED || two[0].outcome == LARDER_HINT_DEFERRED);
  CHECK(two[1].outcome == LARDER_HINT_REJECTED && two[1].reason[0] != 0);
  CHECK_OK(client, larder_give_hints(client, hints, 0, NULL));
  hints[1].kind = (larder_hint_kind)99;
  CHECK_IS(client, larder_give_hints(client, hints, 2, two), LARDER_INVALID_ARGUMENT);
  larder_close(client);
}

static void test_policies(const live_daemon *d) {
  larder_client *client = must_connect(d);
  larder_policy policy;
  larder_policy_change change;
  uint64_t cap = 0, disk = 0;
  subject = "policies";
  must_open(client, "policies", must_declare(client, "memory", false));
  CHECK_OK(client, larder_configure_namespace(client, "tests", NULL, &policy));
  CHECK(policy.sharing == LARDER_SHARED && !policy.has_salt && policy.max_sessions == 0);
  memset(&change, 0, sizeof change);
  change.fields = LARDER_SET_TTL | LARDER_SET_SALT | LARDER_SET_MAX_BYTES;
  change.ttl_seconds = 3600;
  change.salt_bytes = 32;
  change.salt[5] = 1;
  change.max_bytes = 1 << 30;
  CHECK_OK(client, larder_configure_namespace(client, "tests", &change, &policy));
  CHECK(policy.ttl_seconds == 3600 && policy.has_salt && policy.max_bytes == 1 << 30);
  change.salt_bytes = 0;
  change.ttl_seconds = 0;
  change.max_bytes = 0;
  CHECK_OK(client, larder_configure_namespace(client, "tests", &change, &policy));
  CHECK(policy.ttl_seconds == 0 && !policy.has_salt && policy.max_bytes == 0);
  change.salt_bytes = 33;
  CHECK_IS(client, larder_configure_namespace(client, "tests", &change, &policy), LARDER_INVALID_ARGUMENT);
  change.fields = 128;
  CHECK_IS(client, larder_configure_namespace(client, "tests", &change, &policy), LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_configure_namespace(client, "none such", NULL, &policy), LARDER_UNKNOWN_SESSION);
  CHECK_OK(client, larder_set_cap(client, 600ull << 20, &cap, &disk));
  CHECK(cap == 600ull << 20 && disk > 0);
  CHECK_IS(client, larder_set_cap(client, 1, NULL, NULL), LARDER_INVALID_ARGUMENT);
  larder_close(client);
}

static void test_listings(const live_daemon *d) {
  larder_client *client = must_connect(d);
  uint64_t session = must_open(client, "listed", must_declare(client, "memory", false)), after = 0, found = 0;
  static uint8_t bytes[TOKEN_BYTES];
  larder_chunk from = {session, 0, 0, 0};
  larder_namespace_page *namespaces = NULL;
  larder_statistics *statistics = NULL;
  larder_report_page *report = NULL;
  larder_report_request request;
  enum { CHUNKS = 1005 };
  larder_page_out *outs = (larder_page_out *)must_allocate(CHUNKS * sizeof *outs);
  larder_result *results = (larder_result *)must_allocate(CHUNKS * sizeof *results);
  subject = "listings";
  for (unsigned i = 0; i < CHUNKS; i++) outs[i] = page_out_of(session, i, 1, bytes);
  CHECK_OK(client, larder_put_from(client, outs, CHUNKS, LARDER_COMMITTED, LARDER_LZ4, results));
  for (uint32_t count = LARDER_PAGE_ENTRIES; count == LARDER_PAGE_ENTRIES;) {
    larder_chunk_page *page = NULL;
    CHECK_OK(client, larder_list_chunks(client, &from, &page));
    count = page == NULL ? 0 : page->count;
    found += count;
    if (count > 0) from = page->chunks[count - 1].chunk;
    from.offset++;
    larder_free(page);
  }
  CHECK(found == CHUNKS);
  found = 0;
  do {
    larder_session_page *page = NULL;
    CHECK_OK(client, larder_list_sessions(client, "tests", after, &page));
    for (uint32_t i = 0; page != NULL && i < page->count; i++)
      found += page->sessions[i].session == session && strcmp(page->sessions[i].name, "listed") == 0;
    after = page == NULL ? 0 : page->next;
    larder_free(page);
  } while (after != 0);
  CHECK(found == 1);
  CHECK_OK(client, larder_list_namespaces(client, 0, &namespaces));
  CHECK(namespaces != NULL && namespaces->count == 1 && strcmp(namespaces->namespaces[0].name, "tests") == 0);
  larder_free(namespaces);
  CHECK_OK(client, larder_stat(client, &statistics));
  found = 0;
  for (uint32_t i = 0; statistics != NULL && i < statistics->fact_count; i++)
    found += strcmp(statistics->facts[i].name, "store_id") == 0 &&
             strcmp(statistics->facts[i].value, larder_limits_of(client)->store_id) == 0;
  CHECK(found == 1 && statistics != NULL && statistics->counter_count > 0);
  larder_free(statistics);
  memset(&request, 0, sizeof request);
  CHECK_OK(client, larder_report(client, &request, &report));
  CHECK(report != NULL && report->count > 0);
  larder_free(report);
  request.session = session;
  CHECK_OK(client, larder_report(client, &request, &report));
  CHECK(report != NULL && report->count == 1 && report->rows[0].stored_tokens == CHUNKS);
  larder_free(report);
  CHECK_OK(client, larder_sync(client));
  free(outs);
  free(results);
  larder_close(client);
}

#endif
