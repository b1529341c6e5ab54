/* A daemon that does not keep to the protocol: what it sends is refused, the connection ends, nothing else does. */
#ifndef LARDER_TESTS_HOSTILE_TEST_H
#define LARDER_TESTS_HOSTILE_TEST_H

#include "vectors_test.h"

#include <dirent.h>
#include <sys/wait.h>

/* Descriptors that this process has open. */
static unsigned open_descriptors(void) {
  unsigned count = 0;
  DIR *folder = opendir("/proc/self/fd");
  if (folder == NULL) exit(1);
  while (readdir(folder) != NULL) count++;
  closedir(folder);
  return count;
}

/* What a connection must be after bytes that make no sense. */
static void check_lost(larder_client *client) {
  CHECK(!larder_is_usable(client));
  CHECK(larder_message(client)[0] != 0);
  CHECK_IS(client, larder_sync(client), LARDER_CONNECTION_LOST);
  CHECK(larder_message(client)[0] != 0);
}

/* Frames that no answer to `sync` may be. */
static void test_frames(void) {
  static const uint8_t body[4] = {1, 2, 3, 4};
  for (unsigned step = 0; step < 9; step++) {
    int daemon;
    larder_client *client = fake_client(&daemon);
    frame_bytes frame = frame_of(LRD_SYNC | LRD_ANSWER_BIT, 1, NULL, 0);
    larder_status expected = LARDER_PROTOCOL_VIOLATION;
    char name[40];
    snprintf(name, sizeof name, "frame %u", step);
    subject = name;
    if (step == 0) frame.bytes[8] = 2;                  /* another request's answer */
    if (step == 1) frame.bytes[4] = LRD_DROP;           /* another message's answer */
    if (step == 2) frame.bytes[5] = 0;                  /* a request */
    if (step == 3) frame.bytes[6] = 1;                  /* a flag */
    if (step == 4) memset(frame.bytes, 0xFF, 4);        /* 4 GiB */
    if (step == 5) frame.bytes[3] = 5;                  /* 80 MiB, above the limit */
    if (step == 6) frame.bytes[0] = 4;                  /* a body where there should be none; it follows below */
    if (step == 7) memset(frame.bytes + 4, 0xFF, 2);    /* a refusal without a code */
    if (step == 8) memset(frame.bytes + 8, 0, 8);       /* request 0 */
    lay_out(daemon, frame.bytes, frame.count);
    if (step == 6) lay_out(daemon, body, sizeof body);
    CHECK_IS(client, larder_sync(client), expected);
    check_lost(client);
    free(frame.bytes);
    end_fake(client, daemon);
  }
}

/* An answer that ends at any of its bytes, and then: the daemon closes, or says nothing more. */
static void test_endings(void) {
  static const uint8_t answer[12] = {1};
  subject = "endings";
  for (size_t length = 0; length < LRD_HEADER_BYTES + sizeof answer; length++)
    for (int closes = 0; closes < 2; closes++) {
      int daemon;
      larder_client *client = fake_client(&daemon);
      larder_session session;
      frame_bytes frame = frame_of(LRD_FORK | LRD_ANSWER_BIT, 1, answer, sizeof answer);
      lay_out(daemon, frame.bytes, length);
      client->timeout_ms = closes ? 10000 : 2;
      if (closes) shutdown(daemon, SHUT_WR);
      CHECK_IS(client, larder_fork(client, 1, 2, "x", &session), closes ? LARDER_CONNECTION_LOST : LARDER_TIMED_OUT);
      check_lost(client);
      free(frame.bytes);
      end_fake(client, daemon);
    }
}

/* A daemon that sends an answer byte by byte, for longer than anyone waits. */
static void test_trickle(void) {
  int daemon;
  larder_statistics *answer = NULL;
  larder_client *client = fake_client(&daemon);
  subject = "trickle";
  client->timeout_ms = 50;
  pid_t child = fork();
  if (child == 0) {
    uint8_t header[LRD_HEADER_BYTES] = {0, 0, 16, 0, LRD_STAT, LRD_ANSWER_BIT >> 8, 0, 0, 1};
    close(client->socket);
    if (write(daemon, header, sizeof header) != (ssize_t)sizeof header) _exit(1);
    while (send(daemon, header, 1, MSG_NOSIGNAL) == 1) poll(NULL, 0, 1); /* 1 MiB takes a quarter of an hour */
    _exit(0);
  }
  CHECK_IS(client, larder_stat(client, &answer), LARDER_TIMED_OUT);
  check_lost(client);
  end_fake(client, daemon);
  waitpid(child, NULL, 0);
}

/* A daemon that reads nothing, or is gone, while a client sends more than a socket holds. */
static void test_sending(void) {
  size_t count = 48 << 20;
  larder_page_out item;
  memset(&item, 0, sizeof item);
  item.bytes = must_allocate(count);
  item.byte_count = count;
  for (int step = 0; step < 3; step++) {
    int daemon;
    uint64_t stored = 1;
    larder_client *client = fake_client(&daemon);
    client->limits.features = 0;
    client->timeout_ms = step == 0 ? 20 : 10000;
    subject = step == 0 ? "not read" : step == 1 ? "gone" : "refused, then gone";
    if (step == 2) lay_out_refusal(daemon, 1, LARDER_SHUTTING_DOWN);
    if (step > 0) shutdown(daemon, SHUT_RDWR);
    larder_status expected = step == 0 ? LARDER_TIMED_OUT : step == 1 ? LARDER_CONNECTION_LOST : LARDER_SHUTTING_DOWN;
    CHECK_IS(client, larder_put(client, &item, LARDER_COMMITTED, LARDER_AUTO, &stored), expected);
    CHECK(stored == 0);
    check_lost(client);
    end_fake(client, daemon);
  }
  free((void *)(uintptr_t)item.bytes);
}

/* Sends a frame's first bytes with descriptors. */
static void lay_out_descriptors(int daemon, unsigned type, const int *descriptors, size_t count) {
  uint8_t number[4] = {7, 0, 0, 0};
  frame_bytes frame = frame_of(type, 1, number, type == (LRD_OPEN_ARENA | LRD_ANSWER_BIT) ? 4 : 0);
  union {
    struct cmsghdr aligned;
    uint8_t bytes[CMSG_SPACE(8 * sizeof(int))];
  } control;
  struct iovec part = {frame.bytes, frame.count};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  memset(&control, 0, sizeof control);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (count > 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    control.aligned.cmsg_level = SOL_SOCKET;
    control.aligned.cmsg_type = SCM_RIGHTS;
    control.aligned.cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(&control.aligned), descriptors, count * sizeof(int));
  }
  if (sendmsg(daemon, &message, 0) != (ssize_t)frame.count) exit(1);
  free(frame.bytes);
}

/* Arenas that are none: no descriptor, several, not sealed, of another size, no memory at all. */
static void test_arenas(void) {
  int sealed = -1, other = -1, open_ended = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  CHECK(larder_sealed_memfd(4096, &sealed) == LARDER_OK && larder_sealed_memfd(8192, &other) == LARDER_OK);
  CHECK(open_ended >= 0 && ftruncate(open_ended, 4096) == 0);
  int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
  const struct {
    const char *name;
    int descriptors[8];
    size_t count;
    larder_status expected;
  } cases[] = {{"none", {0}, 0, LARDER_PROTOCOL_VIOLATION},
               {"two", {sealed, sealed}, 2, LARDER_PROTOCOL_VIOLATION},
               {"six", {sealed, sealed, sealed, sealed, sealed, sealed}, 6, LARDER_PROTOCOL_VIOLATION},
               {"unsealed", {open_ended}, 1, LARDER_PROTOCOL_VIOLATION},
               {"another size", {other}, 1, LARDER_PROTOCOL_VIOLATION},
               {"a device", {zero}, 1, LARDER_PROTOCOL_VIOLATION},
               {"as it should be", {sealed}, 1, LARDER_OK}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int daemon;
    larder_arena *arena = NULL;
    unsigned before = open_descriptors();
    larder_client *client = fake_client(&daemon);
    subject = cases[i].name;
    lay_out_descriptors(daemon, LRD_OPEN_ARENA | LRD_ANSWER_BIT, cases[i].descriptors, cases[i].count);
    CHECK_IS(client, larder_open_arena(client, 4096, &arena), cases[i].expected);
    CHECK((arena != NULL) == (cases[i].expected == LARDER_OK));
    if (arena == NULL) check_lost(client);
    if (arena != NULL) memset(larder_arena_bytes(arena), 1, larder_arena_size(arena));
    end_fake(client, daemon);
    CHECK(open_descriptors() == before);
  }
  subject = "descriptors that nobody asked for";
  unsigned before = open_descriptors();
  int daemon, all[4] = {sealed, sealed, zero, other};
  larder_client *client = fake_client(&daemon);
  lay_out_descriptors(daemon, LRD_SYNC | LRD_ANSWER_BIT, all, 4);
  CHECK_OK(client, larder_sync(client));
  lay_out_refusal(daemon, 2, LARDER_MISS);
  CHECK_IS(client, larder_drop(client, 1), LARDER_MISS);
  CHECK(open_descriptors() == before + 2);
  end_fake(client, daemon);
  close(sealed);
  close(other);
  close(open_ended);
  close(zero);
}

/* A call for every message, with arguments of no importance. */
static larder_status call_any(larder_client *client, const char *message) {
  larder_key key;
  larder_session session;
  larder_chunk from = {1, 0, 0, 0};
  larder_hint hint;
  larder_hint_result made;
  larder_report_request request;
  larder_result results[3];
  larder_page_out outs[3];
  larder_page_in ins[3];
  static uint8_t memory[3][64];
  uint32_t number;
  void *answer = NULL;
  larder_status status = LARDER_OK;
  memset(&key, 0, sizeof key);
  memset(&hint, 0, sizeof hint);
  memset(&request, 0, sizeof request);
  memset(outs, 0, sizeof outs);
  memset(ins, 0, sizeof ins);
  hint.kind = LARDER_DEMOTE;
  for (int i = 0; i < 3; i++) outs[i].bytes = ins[i].into = memory[i];
  for (int i = 0; i < 3; i++) outs[i].byte_count = ins[i].byte_count = sizeof memory[i];
  if (strcmp(message, "open_session") == 0) return larder_open_session(client, "a", "b", 1, true, &session);
  if (strcmp(message, "fork") == 0) return larder_fork(client, 1, 2, "b", &session);
  if (strcmp(message, "match") == 0) return larder_match(client, "a", 1, 0, &key, 1, &number);
  if (strcmp(message, "configure_namespace") == 0) return larder_configure_namespace(client, "a", NULL, NULL);
  if (strcmp(message, "set_cap") == 0) return larder_set_cap(client, 1, NULL, NULL);
  if (strcmp(message, "hint") == 0) return larder_give_hints(client, &hint, 1, &made);
  if (strcmp(message, "put") == 0) return larder_put_from(client, outs, 3, LARDER_COMMITTED, LARDER_AUTO, results);
  if (strcmp(message, "get") == 0) return larder_get_into(client, ins, 3, 0, NULL, NULL, results);
  if (strcmp(message, "resume") == 0) status = larder_resume(client, 1, 2, 3, (larder_resume_plan **)&answer);
  if (strcmp(message, "explain") == 0) status = larder_explain(client, 1, 2, 3, (larder_explanation **)&answer);
  if (strcmp(message, "plan_snapshots") == 0)
    status = larder_plan_snapshots(client, 1, 2, 3, 4, 5, 6, (larder_snapshot_plan **)&answer);
  if (strcmp(message, "stat") == 0) status = larder_stat(client, (larder_statistics **)&answer);
  if (strcmp(message, "verify") == 0) status = larder_verify(client, &from, (larder_verification **)&answer);
  if (strcmp(message, "report") == 0) status = larder_report(client, &request, (larder_report_page **)&answer);
  if (strcmp(message, "list_models") == 0) status = larder_list_models(client, 0, (larder_model_page **)&answer);
  if (strcmp(message, "list_chunks") == 0) status = larder_list_chunks(client, &from, (larder_chunk_page **)&answer);
  if (strcmp(message, "list_sessions") == 0)
    status = larder_list_sessions(client, NULL, 0, (larder_session_page **)&answer);
  if (strcmp(message, "list_namespaces") == 0)
    status = larder_list_namespaces(client, 0, (larder_namespace_page **)&answer);
  CHECK(status == LARDER_OK || answer == NULL);
  larder_free(answer);
  return status;
}

/* Whole frames, changed at random, come through the socket as the answer to their call. */
static void test_mutated_frames(unsigned rounds) {
  unsigned long all = 0, lost = 0;
  for (unsigned round = 0; round < rounds; round++)
    for (size_t i = 0; i < vector_count; i++) {
      const vector *v = &vectors[i];
      int daemon;
      if (strcmp(v->kind, "request") == 0) continue;
      subject = v->name;
      larder_client *client = fake_client(&daemon);
      client->limits.features = 0;
      size_t count = v->frame_bytes;
      uint8_t *frame = mutate(v->frame, &count);
      for (size_t j = 0; j < 8 && j + 8 < count && next_random() % 16 != 0; j++) frame[8 + j] = (uint8_t)(j == 0);
      lay_out(daemon, frame, count);
      shutdown(daemon, SHUT_WR);
      larder_status status = call_any(client, v->message);
      bool is_refusal = status >= LARDER_MALFORMED && status <= LARDER_DECLINED;
      CHECK(status == LARDER_OK || is_refusal || !larder_is_usable(client));
      lost += !larder_is_usable(client);
      all++;
      free(frame);
      end_fake(client, daemon);
    }
  printf("mutated frames: %lu answers, %lu of them ended the connection\n", all, lost);
}

#endif
