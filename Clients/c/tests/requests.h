/* Every request of the golden vectors, byte for byte: sent by the public call where its arguments can say it, else
 * written by the encoder below it. */
#ifndef LARDER_TESTS_REQUESTS_H
#define LARDER_TESTS_REQUESTS_H

#include "fake.h"
#include "vectors.h"

static larder_chunk chunk_from(const vector *v, const char *path) {
  larder_chunk chunk;
  chunk.session = NUMBER(v, "%s.session", path);
  chunk.rank = NUMBER16(v, "%s.rank", path);
  chunk.component = NUMBER16(v, "%s.component", path);
  chunk.offset = NUMBER(v, "%s.offset", path);
  return chunk;
}

static larder_model model_from(const vector *v, const char *path, larder_component *components) {
  larder_model model;
  model.name = TEXT(v, "%s.name", path);
  model.revision = TEXT(v, "%s.revision", path);
  model.weights = TEXT(v, "%s.weights", path);
  model.page_tokens = NUMBER32(v, "%s.page_tokens", path);
  model.group_size = NUMBER32(v, "%s.group_size", path);
  model.rank = NUMBER32(v, "%s.rank", path);
  model.component_count = NUMBER16(v, "%s.components.#", path);
  model.components = components;
  for (unsigned i = 0; i < model.component_count; i++) {
    components[i].name = TEXT(v, "%s.components.%u.name", path, i);
    components[i].kind = (larder_component_kind)NUMBER(v, "%s.components.%u.kind", path, i);
    components[i].element_type = (larder_element_type)NUMBER(v, "%s.components.%u.element_type", path, i);
    components[i].layers = NUMBER32(v, "%s.components.%u.layers", path, i);
    components[i].planes = NUMBER32(v, "%s.components.%u.planes", path, i);
    components[i].row_bytes = NUMBER32(v, "%s.components.%u.row_bytes", path, i);
    components[i].window = NUMBER32(v, "%s.components.%u.window", path, i);
  }
  return model;
}

static larder_policy_change change_from(const vector *v) {
  larder_policy_change change;
  unsigned fields = 0;
  memset(&change, 0, sizeof change);
  if (!IS_NULL(v, "change.sharing")) fields |= LARDER_SET_SHARING;
  if (!IS_NULL(v, "change.salt")) fields |= LARDER_SET_SALT;
  if (!IS_NULL(v, "change.ttl_seconds")) fields |= LARDER_SET_TTL;
  if (!IS_NULL(v, "change.min_bytes")) fields |= LARDER_SET_MIN_BYTES;
  if (!IS_NULL(v, "change.max_bytes")) fields |= LARDER_SET_MAX_BYTES;
  if (!IS_NULL(v, "change.max_sessions")) fields |= LARDER_SET_MAX_SESSIONS;
  if (!IS_NULL(v, "change.admission")) fields |= LARDER_SET_ADMISSION;
  change.fields = (uint16_t)fields;
  change.sharing = (larder_sharing)NUMBER(v, "change.sharing");
  change.salt_bytes = (uint8_t)(strlen(TEXT(v, "change.salt")) / 2);
  larder_key salt = KEY(v, "change.salt");
  memcpy(change.salt, salt.bytes, sizeof change.salt);
  change.ttl_seconds = NUMBER32(v, "change.ttl_seconds");
  change.min_bytes = NUMBER(v, "change.min_bytes");
  change.max_bytes = NUMBER(v, "change.max_bytes");
  change.max_sessions = NUMBER32(v, "change.max_sessions");
  change.admission = (larder_admission)NUMBER(v, "change.admission");
  return change;
}

static uint32_t keys_from(const vector *v, const char *path, larder_key keys[8]) {
  uint32_t count = NUMBER32(v, "%s.#", path);
  for (uint32_t i = 0; i < count && i < 8; i++) keys[i] = KEY(v, "%s.%u", path, i);
  return count;
}

static void call_hints(larder_client *client, const vector *v) {
  larder_hint hints[8];
  larder_hint_result results[8];
  larder_key keys[8][8];
  char path[40];
  size_t count = NUMBER(v, "hints.#");
  memset(hints, 0, sizeof hints);
  for (unsigned i = 0; i < count; i++) {
    hints[i].kind = (larder_hint_kind)NUMBER(v, "hints.%u.hint", i);
    hints[i].priority = (int8_t)strtol(value_of(v, "hints.%u.priority", i), NULL, 10);
    hints[i].seconds = NUMBER32(v, "hints.%u.seconds", i);
    hints[i].target = (larder_hint_target)NUMBER(v, "hints.%u.target", i);
    hints[i].session = NUMBER(v, "hints.%u.session", i);
    hints[i].from = NUMBER(v, "hints.%u.from", i);
    hints[i].to = NUMBER(v, "hints.%u.to", i);
    hints[i].rank = NUMBER16(v, "hints.%u.rank", i);
    hints[i].component = NUMBER16(v, "hints.%u.component", i);
    hints[i].namespace_name = TEXT(v, "hints.%u.namespace", i);
    hints[i].model_id = NUMBER32(v, "hints.%u.model_id", i);
    snprintf(path, sizeof path, "hints.%u.keys", i);
    hints[i].key_count = keys_from(v, path, keys[i]);
    hints[i].keys = keys[i];
  }
  CHECK(larder_give_hints(client, hints, count, results) == LARDER_MISS);
}

/* Sends the requests about sessions. False if it is another. */
static bool call_session_request(larder_client *client, const vector *v) {
  const char *message = v->message;
  uint64_t session = NUMBER(v, "session");
  larder_session opened;
  larder_status status;
  void *answer = NULL;
  if (strcmp(message, "open_session") == 0)
    status = larder_open_session(client, TEXT(v, "namespace"), TEXT(v, "name"), NUMBER32(v, "model_id"),
                                 NUMBER(v, "create") == 1, &opened);
  else if (strcmp(message, "fork") == 0)
    status = larder_fork(client, session, NUMBER(v, "offset"), TEXT(v, "name"), &opened);
  else if (strcmp(message, "truncate") == 0)
    status = larder_truncate(client, session, NUMBER(v, "offset"));
  else if (strcmp(message, "drop") == 0)
    status = larder_drop(client, session);
  else if (strcmp(message, "configure_session") == 0)
    status = larder_configure_session(client, session, NUMBER32(v, "ttl_seconds"));
  else if (strcmp(message, "prefetch") == 0)
    status = larder_prefetch(client, session, NUMBER(v, "at_most"));
  else if (strcmp(message, "resume") == 0)
    status = larder_resume(client, session, NUMBER(v, "at_most"), NUMBER32(v, "prefill_rate"),
                           (larder_resume_plan **)&answer);
  else if (strcmp(message, "explain") == 0)
    status = larder_explain(client, session, NUMBER(v, "at_most"), NUMBER32(v, "model_id"),
                            (larder_explanation **)&answer);
  else if (strcmp(message, "plan_snapshots") == 0)
    status = larder_plan_snapshots(client, session, NUMBER(v, "length"), NUMBER(v, "resumed_at"),
                                   NUMBER32(v, "boundary"), NUMBER32(v, "stride"), NUMBER32(v, "budget"),
                                   (larder_snapshot_plan **)&answer);
  else
    return false;
  CHECK(status == LARDER_MISS);
  CHECK(answer == NULL);
  return true;
}

/* Sends the other requests that a public call can say. False if it is none of them. */
static bool call_other_request(larder_client *client, const vector *v) {
  const char *message = v->message;
  larder_component components[8];
  larder_declared declared;
  larder_key keys[8];
  uint32_t number;
  void *answer = NULL;
  larder_chunk from = chunk_from(v, "from");
  larder_status status;
  if (strcmp(message, "declare_model") == 0) {
    larder_model model = model_from(v, "declaration", components);
    status = larder_declare_model(client, &model, &declared);
  } else if (strcmp(message, "match") == 0) {
    uint32_t count = keys_from(v, "keys", keys);
    status = larder_match(client, TEXT(v, "namespace"), NUMBER32(v, "model_id"), NUMBER16(v, "component"), keys, count,
                          &number);
  } else if (strcmp(message, "report") == 0) {
    larder_report_request request = {NUMBER(v, "session"),       NUMBER(v, "from"),     NUMBER(v, "to"),
                                     TEXT(v, "namespace"), NUMBER32(v, "model_id"), NUMBER(v, "after")};
    status = larder_report(client, &request, (larder_report_page **)&answer);
  } else if (strcmp(message, "configure_namespace") == 0) {
    larder_policy_change change = change_from(v);
    status = larder_configure_namespace(client, TEXT(v, "namespace"), &change, NULL);
  } else if (strcmp(message, "set_prefill_rate") == 0) {
    status = larder_set_prefill_rate(client, NUMBER32(v, "model_id"), NUMBER32(v, "prefill_rate"));
  } else if (strcmp(message, "set_cap") == 0) {
    status = larder_set_cap(client, NUMBER(v, "cap_bytes"), NULL, NULL);
  } else if (strcmp(message, "sync") == 0) {
    status = larder_sync(client);
  } else if (strcmp(message, "stat") == 0) {
    status = larder_stat(client, (larder_statistics **)&answer);
  } else if (strcmp(message, "verify") == 0) {
    status = larder_verify(client, &from, (larder_verification **)&answer);
  } else if (strcmp(message, "list_models") == 0) {
    status = larder_list_models(client, NUMBER32(v, "after"), (larder_model_page **)&answer);
  } else if (strcmp(message, "list_namespaces") == 0) {
    status = larder_list_namespaces(client, NUMBER32(v, "after"), (larder_namespace_page **)&answer);
  } else if (strcmp(message, "list_sessions") == 0) {
    status = larder_list_sessions(client, TEXT(v, "namespace"), NUMBER(v, "after"), (larder_session_page **)&answer);
  } else if (strcmp(message, "list_chunks") == 0) {
    status = larder_list_chunks(client, &from, (larder_chunk_page **)&answer);
  } else if (strcmp(message, "open_arena") == 0) {
    status = larder_open_arena(client, NUMBER(v, "arena_bytes"), (larder_arena **)&answer);
  } else {
    return false;
  }
  CHECK(status == LARDER_MISS);
  CHECK(answer == NULL);
  return true;
}

/* Items of a put as the encoder takes them: their places in arenas are any. */
static void encode_put(lrd_writer *writer, const vector *v) {
  static const uint8_t some = 0;
  uint32_t count = NUMBER32(v, "items.#");
  char path[40];
  lrd_encode_put_head(writer, (larder_acknowledgement)NUMBER(v, "acknowledgement"),
                      (larder_encoding)NUMBER(v, "encoding"), count);
  for (unsigned i = 0; i < count; i++) {
    larder_page_out item;
    larder_key key = KEY(v, "items.%u.prefix_key", i);
    lrd_place place;
    memset(&item, 0, sizeof item);
    memset(&place, 0, sizeof place);
    snprintf(path, sizeof path, "items.%u.chunk", i);
    item.chunk = chunk_from(v, path);
    item.tokens = NUMBER32(v, "items.%u.tokens", i);
    item.bytes = NUMBER(v, "items.%u.known", i) == 1 ? NULL : &some;
    item.prefix_key = IS_NULL(v, "items.%u.prefix_key", i) ? NULL : &key;
    place.in_arena = NUMBER(v, "items.%u.payload_place", i) == 1;
    place.bytes = NUMBER(v, "items.%u.payload_bytes", i);
    place.arena = NUMBER32(v, "items.%u.arena", i);
    place.offset = NUMBER(v, "items.%u.arena_offset", i);
    lrd_encode_put_item(writer, &item, &place);
  }
}

static void encode_get(lrd_writer *writer, const vector *v, bool into) {
  uint32_t count = NUMBER32(v, "items.#");
  char path[40];
  if (into) lrd_put_u32(writer, NUMBER32(v, "layer_group"));
  lrd_put_u32(writer, count);
  for (unsigned i = 0; i < count; i++) {
    larder_page_in item;
    lrd_place place;
    memset(&item, 0, sizeof item);
    memset(&place, 0, sizeof place);
    snprintf(path, sizeof path, "items.%u.chunk", i);
    item.chunk = chunk_from(v, path);
    item.first_layer = NUMBER32(v, "items.%u.first_layer", i);
    item.layers = NUMBER32(v, "items.%u.layers", i);
    place.arena = NUMBER32(v, "items.%u.arena", i);
    place.offset = NUMBER(v, "items.%u.arena_offset", i);
    place.bytes = NUMBER(v, "items.%u.region_bytes", i);
    if (into)
      lrd_encode_get_into_item(writer, &item, &place);
    else
      lrd_encode_get_item(writer, &item);
  }
}

/* Writes the requests whose vectors have what no public call says: other versions, arenas that are not there. */
static void encode_request(const vector *v) {
  lrd_writer writer;
  memset(&writer, 0, sizeof writer);
  writer.limit = LARDER_FRAME_BYTES;
  lrd_start(&writer, (unsigned)(v->frame[4] | v->frame[5] << 8), v->id);
  if (strcmp(v->message, "hello") == 0)
    lrd_encode_hello(&writer, NUMBER16(v, "oldest_version"), NUMBER16(v, "newest_version"), NUMBER(v, "features"),
                     TEXT(v, "client_name"));
  else if (strcmp(v->message, "put") == 0)
    encode_put(&writer, v);
  else if (strcmp(v->message, "get") == 0 || strcmp(v->message, "get_into") == 0)
    encode_get(&writer, v, strcmp(v->message, "get_into") == 0);
  else if (strcmp(v->message, "register_arena") == 0)
    lrd_put_u64(&writer, NUMBER(v, "arena_bytes"));
  else if (strcmp(v->message, "close_arena") == 0)
    lrd_put_u32(&writer, NUMBER32(v, "arena"));
  else
    check_failed(__FILE__, __LINE__, "a message that the header does not have", v->message);
  lrd_put(&writer, v->payload, v->payload_bytes);
  lrd_finish(&writer, 0);
  CHECK(writer.fault == LARDER_OK);
  CHECK(writer.count == v->frame_bytes && memcmp(writer.bytes, v->frame, v->frame_bytes) == 0);
  free(writer.bytes);
}

/* The daemon's `miss` lies ready, so that the call ends; what it sent is compared with the vector. */
static void check_request(const vector *v) {
  int daemon;
  larder_client *client = fake_client(&daemon);
  client->next_id = v->id;
  lay_out_refusal(daemon, v->id, LARDER_MISS);
  bool is_sent = call_session_request(client, v) || call_other_request(client, v);
  if (!is_sent && strcmp(v->message, "hint") == 0) {
    call_hints(client, v);
    is_sent = true;
  }
  if (is_sent)
    check_sent(daemon, v->frame, v->frame_bytes);
  else
    encode_request(v);
  end_fake(client, daemon);
}

#endif
