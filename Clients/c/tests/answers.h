/* Every answer of the golden vectors: decoded, and each field compared. */
#ifndef LARDER_TESTS_ANSWERS_H
#define LARDER_TESTS_ANSWERS_H

#include "requests.h"

static bool is_chunk(const vector *v, const char *path, larder_chunk chunk) {
  larder_chunk expected = chunk_from(v, path);
  return chunk.session == expected.session && chunk.rank == expected.rank && chunk.component == expected.component &&
         chunk.offset == expected.offset;
}

static bool is_key(const char *digits, const larder_key *key) {
  larder_key expected = key_from(digits);
  return memcmp(expected.bytes, key->bytes, sizeof expected.bytes) == 0;
}

#define IS_TEXT(text, ...) (strcmp((text), TEXT(__VA_ARGS__)) == 0)

static void check_summary(const vector *v, unsigned index, const larder_chunk_summary *summary) {
  char path[40];
  snprintf(path, sizeof path, "chunks.%u.chunk", index);
  CHECK(is_chunk(v, path, summary->chunk));
  CHECK(summary->tokens == NUMBER(v, "chunks.%u.tokens", index));
  CHECK(summary->raw_bytes == NUMBER(v, "chunks.%u.raw_bytes", index));
  CHECK(summary->stored_bytes == NUMBER(v, "chunks.%u.stored_bytes", index));
  CHECK((unsigned)summary->encoding == NUMBER(v, "chunks.%u.encoding", index));
  CHECK(summary->created_seconds == NUMBER(v, "chunks.%u.created_seconds", index));
}

static void check_policy(const vector *v, const char *path, const larder_policy *policy) {
  CHECK((unsigned)policy->sharing == NUMBER(v, "%ssharing", path));
  CHECK(policy->has_salt == (NUMBER(v, "%shas_salt", path) == 1));
  CHECK(policy->ttl_seconds == NUMBER(v, "%sttl_seconds", path));
  CHECK(policy->min_bytes == NUMBER(v, "%smin_bytes", path));
  CHECK(policy->max_bytes == NUMBER(v, "%smax_bytes", path));
  CHECK(policy->max_sessions == NUMBER(v, "%smax_sessions", path));
  CHECK((unsigned)policy->admission == NUMBER(v, "%sadmission", path));
}

static void check_resume(const vector *v, const larder_resume_plan *plan) {
  CHECK(plan->offset == NUMBER(v, "offset"));
  CHECK(plan->complete == (NUMBER(v, "complete") == 1));
  CHECK(plan->raw_bytes == NUMBER(v, "raw_bytes"));
  CHECK(plan->load_us == NUMBER(v, "load_us"));
  CHECK(plan->cheapest_offset == NUMBER(v, "cheapest_offset"));
  CHECK(plan->prefill_rate == NUMBER(v, "prefill_rate"));
  CHECK(plan->reach_count == NUMBER(v, "reaches.#"));
  for (unsigned i = 0; i < plan->reach_count; i++) {
    CHECK(plan->reaches[i].rank == NUMBER(v, "reaches.%u.rank", i));
    CHECK(plan->reaches[i].component == NUMBER(v, "reaches.%u.component", i));
    CHECK(plan->reaches[i].offset == NUMBER(v, "reaches.%u.offset", i));
  }
  CHECK(plan->chunk_count == NUMBER(v, "chunks.#"));
  for (unsigned i = 0; i < plan->chunk_count; i++) check_summary(v, i, &plan->chunks[i]);
}

static void check_explanation(const vector *v, const larder_explanation *answer) {
  CHECK(answer->at == NUMBER(v, "at"));
  CHECK(answer->end == NUMBER(v, "end"));
  CHECK(answer->offset == NUMBER(v, "offset"));
  CHECK(answer->missing_rank_count == NUMBER(v, "missing_ranks.#"));
  for (unsigned i = 0; i < answer->missing_rank_count; i++)
    CHECK(answer->missing_ranks[i] == NUMBER(v, "missing_ranks.%u", i));
  CHECK(IS_TEXT(answer->model_difference, v, "model_difference"));
  CHECK(answer->track_count == NUMBER(v, "tracks.#"));
  for (unsigned i = 0; i < answer->track_count; i++) {
    const larder_track *track = &answer->tracks[i];
    CHECK(track->rank == NUMBER(v, "tracks.%u.rank", i));
    CHECK(track->component == NUMBER(v, "tracks.%u.component", i));
    CHECK(track->reach == NUMBER(v, "tracks.%u.reach", i));
    CHECK((unsigned)track->cause == NUMBER(v, "tracks.%u.cause", i));
    CHECK(track->missing_from == NUMBER(v, "tracks.%u.missing_from", i));
    CHECK(track->missing_to == NUMBER(v, "tracks.%u.missing_to", i));
    CHECK((unsigned)track->rule == NUMBER(v, "tracks.%u.rule", i));
    CHECK(track->evicted_seconds == NUMBER(v, "tracks.%u.evicted_seconds", i));
  }
}

static void check_models(const vector *v, const larder_model_page *page) {
  CHECK(page->count == NUMBER(v, "models.#"));
  for (unsigned i = 0; i < page->count; i++) {
    larder_component components[8];
    char path[40];
    snprintf(path, sizeof path, "models.%u.declaration", i);
    larder_model expected = model_from(v, path, components);
    const larder_model *model = &page->models[i].model;
    CHECK(page->models[i].declared.model_id == NUMBER(v, "models.%u.model_id", i));
    CHECK(is_key(TEXT(v, "models.%u.fingerprint", i), &page->models[i].declared.fingerprint));
    CHECK(strcmp(model->name, expected.name) == 0 && strcmp(model->revision, expected.revision) == 0);
    CHECK(strcmp(model->weights, expected.weights) == 0);
    CHECK(model->page_tokens == expected.page_tokens && model->group_size == expected.group_size);
    CHECK(model->rank == expected.rank && model->component_count == expected.component_count);
    for (unsigned j = 0; j < model->component_count && j < expected.component_count; j++) {
      const larder_component *got = &model->components[j], *want = &components[j];
      CHECK(strcmp(got->name, want->name) == 0 && got->kind == want->kind && got->element_type == want->element_type);
      CHECK(got->layers == want->layers && got->planes == want->planes);
      CHECK(got->row_bytes == want->row_bytes && got->window == want->window);
    }
  }
}

static void check_sessions(const vector *v, const larder_session_page *page) {
  CHECK(page->next == NUMBER(v, "next"));
  CHECK(page->count == NUMBER(v, "sessions.#"));
  for (unsigned i = 0; i < page->count; i++) {
    const larder_session_summary *session = &page->sessions[i];
    CHECK(session->session == NUMBER(v, "sessions.%u.session", i));
    CHECK(IS_TEXT(session->namespace_name, v, "sessions.%u.namespace", i));
    CHECK(IS_TEXT(session->name, v, "sessions.%u.name", i));
    CHECK(session->owner_user_id == NUMBER(v, "sessions.%u.owner_user_id", i));
    CHECK(session->model_count == NUMBER(v, "sessions.%u.models.#", i));
    for (unsigned j = 0; j < session->model_count; j++) {
      CHECK(session->models[j].rank == NUMBER(v, "sessions.%u.models.%u.rank", i, j));
      CHECK(session->models[j].model_id == NUMBER(v, "sessions.%u.models.%u.model_id", i, j));
    }
    CHECK(session->chunks == NUMBER(v, "sessions.%u.chunks", i));
    CHECK(session->raw_bytes == NUMBER(v, "sessions.%u.raw_bytes", i));
    CHECK(session->stored_bytes == NUMBER(v, "sessions.%u.stored_bytes", i));
    CHECK(session->created_seconds == NUMBER(v, "sessions.%u.created_seconds", i));
    CHECK(session->changed_seconds == NUMBER(v, "sessions.%u.changed_seconds", i));
    CHECK(session->ttl_seconds == NUMBER(v, "sessions.%u.ttl_seconds", i));
  }
}

static void check_namespaces(const vector *v, const larder_namespace_page *page) {
  CHECK(page->count == NUMBER(v, "namespaces.#"));
  for (unsigned i = 0; i < page->count; i++) {
    char path[40];
    CHECK(page->namespaces[i].namespace_id == NUMBER(v, "namespaces.%u.namespace_id", i));
    CHECK(IS_TEXT(page->namespaces[i].name, v, "namespaces.%u.name", i));
    CHECK(page->namespaces[i].owner_user_id == NUMBER(v, "namespaces.%u.owner_user_id", i));
    CHECK(page->namespaces[i].sessions == NUMBER(v, "namespaces.%u.sessions", i));
    snprintf(path, sizeof path, "namespaces.%u.policy.", i);
    check_policy(v, path, &page->namespaces[i].policy);
  }
}

static void check_statistics(const vector *v, const larder_statistics *answer) {
  CHECK(answer->fact_count == NUMBER(v, "facts.#"));
  for (unsigned i = 0; i < answer->fact_count; i++) {
    CHECK(IS_TEXT(answer->facts[i].name, v, "facts.%u.name", i));
    CHECK(IS_TEXT(answer->facts[i].value, v, "facts.%u.value", i));
  }
  CHECK(answer->counter_count == NUMBER(v, "counters.#"));
  for (unsigned i = 0; i < answer->counter_count; i++) {
    CHECK(IS_TEXT(answer->counters[i].name, v, "counters.%u.name", i));
    CHECK(answer->counters[i].value == NUMBER(v, "counters.%u.value", i));
  }
}

static void check_verification(const vector *v, const larder_verification *answer) {
  CHECK(answer->checked == NUMBER(v, "checked"));
  CHECK(answer->raw_bytes == NUMBER(v, "raw_bytes"));
  CHECK(answer->damaged_count == NUMBER(v, "damaged.#"));
  for (unsigned i = 0; i < answer->damaged_count; i++) {
    char path[40];
    snprintf(path, sizeof path, "damaged.%u.chunk", i);
    CHECK(is_chunk(v, path, answer->damaged[i].chunk));
    CHECK(IS_TEXT(answer->damaged[i].reason, v, "damaged.%u.reason", i));
  }
  CHECK(answer->more == !IS_NULL(v, "next.session"));
  if (answer->more) CHECK(is_chunk(v, "next", answer->next));
}

static void check_report(const vector *v, const larder_report_page *page) {
  CHECK(page->from == NUMBER(v, "from") && page->to == NUMBER(v, "to"));
  CHECK(page->gpu_hour_price == NUMBER(v, "gpu_hour_price") && page->next == NUMBER(v, "next"));
  CHECK(page->count == NUMBER(v, "rows.#"));
  for (unsigned i = 0; i < page->count; i++) {
    const larder_report_row *row = &page->rows[i];
    CHECK(IS_TEXT(row->namespace_name, v, "rows.%u.namespace", i));
    CHECK(row->model_id == NUMBER(v, "rows.%u.model_id", i));
    CHECK(row->stored_tokens == NUMBER(v, "rows.%u.stored_tokens", i));
    CHECK(row->restored_tokens == NUMBER(v, "rows.%u.restored_tokens", i));
    CHECK(row->not_recomputed_tokens == NUMBER(v, "rows.%u.not_recomputed_tokens", i));
    CHECK(row->page_out_raw_bytes == NUMBER(v, "rows.%u.page_out_raw_bytes", i));
    CHECK(row->page_out_stored_bytes == NUMBER(v, "rows.%u.page_out_stored_bytes", i));
    CHECK(row->page_in_raw_bytes == NUMBER(v, "rows.%u.page_in_raw_bytes", i));
    CHECK(row->page_in_stored_bytes == NUMBER(v, "rows.%u.page_in_stored_bytes", i));
    CHECK(row->prefill_rate == NUMBER(v, "rows.%u.prefill_rate", i));
    CHECK((unsigned)row->rate_origin == NUMBER(v, "rows.%u.rate_origin", i));
    CHECK(row->prefill_avoided_ms == NUMBER(v, "rows.%u.prefill_avoided_ms", i));
  }
}

#endif
