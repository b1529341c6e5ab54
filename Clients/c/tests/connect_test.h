/* Connecting: to nothing, to what is no daemon, to one that says something else; and what a child may do after fork. */
#ifndef LARDER_TESTS_CONNECT_TEST_H
#define LARDER_TESTS_CONNECT_TEST_H

#include "batches_test.h"

#include <signal.h>
#include <sys/wait.h>

/* Listens at a path, and sends `bytes` to whoever connects, after the first of its own came; then closes. */
static pid_t serve(const char *path, const uint8_t *bytes, size_t count) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  unlink(path);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 8) != 0) {
    perror(path);
    exit(1);
  }
  pid_t child = fork();
  if (child == 0) {
    uint8_t byte;
    int peer = accept(listener, NULL, NULL);
    if (peer >= 0 && read(peer, &byte, 1) == 1 && count > 0) send(peer, bytes, count, MSG_NOSIGNAL);
    _exit(0);
  }
  close(listener);
  return child;
}

/* Connects to a daemon that answers with these bytes. */
static void check_handshake(const char *path, const char *what, const uint8_t *bytes, size_t count,
                            larder_status expected) {
  larder_client *client = NULL;
  subject = what;
  pid_t child = serve(path, bytes, count);
  larder_status status = larder_connect(path, "test", 20000, &client);
  CHECK_IS(client, status, expected);
  CHECK(client != NULL && larder_is_usable(client) == (expected == LARDER_OK));
  if (expected != LARDER_OK) check_lost(client);
  larder_close(client);
  waitpid(child, NULL, 0);
}

static void test_handshakes(const char *path) {
  const vector *good = NULL;
  for (size_t i = 0; i < vector_count; i++)
    if (strcmp(vectors[i].name, "hello_answer") == 0) good = &vectors[i];
  if (good == NULL) exit(1);
  check_handshake(path, "as it should be", good->frame, good->frame_bytes, LARDER_OK);
  check_handshake(path, "closed without a word", NULL, 0, LARDER_CONNECTION_LOST);
  check_handshake(path, "cut", good->frame, good->frame_bytes - 1, LARDER_CONNECTION_LOST);
  check_handshake(path, "HTTP", (const uint8_t *)"HTTP/1.1 400 Bad Request\r\n\r\n", 28, LARDER_PROTOCOL_VIOLATION);
  static const struct {
    const char *name;
    size_t at;
    uint8_t value;
  } changes[] = {{"version 2", 16, 2}, {"no version", 16, 0}, {"frames of 256 bytes", 29, 0}, {"no items", 31, 0}};
  for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
    uint8_t frame[256] = {0};
    memcpy(frame, good->frame, good->frame_bytes);
    if (changes[i].at == 29) frame[27] = 1;
    if (changes[i].at == 31) frame[30] = 0;
    frame[changes[i].at] = changes[i].value;
    check_handshake(path, changes[i].name, frame, good->frame_bytes, LARDER_PROTOCOL_VIOLATION);
  }
  frame_bytes refusal = frame_of(LRD_REFUSAL_TYPE, 0, "\x19\0\xFF\xFF\xFF\xFF\x06\0at max", 14);
  check_handshake(path, "at its limit", refusal.bytes, refusal.count, LARDER_TOO_MANY_CONNECTIONS);
  free(refusal.bytes);
}

static void check_failed_connect(const char *path, larder_status expected, const char *named) {
  larder_client *client = NULL;
  CHECK_IS(client, larder_connect(path, NULL, 50, &client), expected);
  CHECK(client != NULL && strstr(larder_message(client), named) != NULL);
  CHECK(larder_limits_of(client)->version == 0);
  larder_close(client);
}

static void test_connecting(const char *folder) {
  char path[100], long_path[200];
  subject = "connecting";
  snprintf(path, sizeof path, "%s/fake.sock", folder);
  unlink(path);
  memset(long_path, 'x', sizeof long_path);
  long_path[sizeof long_path - 1] = 0;
  check_failed_connect(path, LARDER_CONNECTION_FAILED, path);
  check_failed_connect("", LARDER_CONNECTION_FAILED, "path");
  check_failed_connect(long_path, LARDER_CONNECTION_FAILED, "path");
  check_failed_connect(folder, LARDER_CONNECTION_FAILED, folder);
  setenv("LARDER_SOCKET", path, 1);
  check_failed_connect(NULL, LARDER_CONNECTION_FAILED, path);
  setenv("LARDER_SOCKET", "", 1);
  check_failed_connect(NULL, LARDER_CONNECTION_FAILED, "/run/larder/larder.sock");
  unsetenv("LARDER_SOCKET");
  test_handshakes(path);
  unlink(path);
}

/* A child must not use its parent's connection; the parent goes on with it. */
static void test_fork(void) {
  int daemon, code = 0;
  larder_client *client = fake_client(&daemon);
  subject = "fork";
  pid_t child = fork();
  if (child == 0) {
    bool is_refused = larder_sync(client) == LARDER_CONNECTION_LOST && !larder_is_usable(client) &&
                      strstr(larder_message(client), "fork") != NULL;
    larder_close(client);
    _exit(is_refused ? 0 : 1);
  }
  waitpid(child, &code, 0);
  CHECK(WIFEXITED(code) && WEXITSTATUS(code) == 0);
  lay_out_frame(daemon, LRD_SYNC | LRD_ANSWER_BIT, 1, NULL, 0);
  CHECK_OK(client, larder_sync(client));
  end_fake(client, daemon);
}

/* Arguments that the client itself refuses: nothing is sent, and the connection goes on. */
static void test_arguments(void) {
  int daemon;
  larder_client *client = fake_client(&daemon);
  larder_page_out out;
  larder_page_in in;
  larder_result result;
  larder_arena *arena = fake_arena(client, 4096), *none = NULL;
  larder_session session;
  uint32_t number;
  uint8_t byte;
  char *text = (char *)must_allocate(70000);
  subject = "arguments";
  memset(text, 'x', 69999);
  memset(&out, 0, sizeof out);
  memset(&in, 0, sizeof in);
  CHECK_IS(client, larder_open_session(client, text, "n", 1, true, &session), LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_open_session(client, NULL, "n", 1, true, &session), LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_open_session(client, "a", "n", 1, true, NULL), LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_match(client, "a", 1, 0, NULL, 3, &number), LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_match(client, "a", 1, 0, (larder_key *)(void *)text, LARDER_BATCH_ITEMS + 1, &number),
           LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_declare_model(client, NULL, NULL), LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_give_hints(client, NULL, 3, NULL), LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_put_from(client, NULL, 1, LARDER_COMMITTED, LARDER_AUTO, &result), LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_put_from(client, &out, 1, LARDER_COMMITTED, LARDER_AUTO, NULL), LARDER_INVALID_ARGUMENT);
  out.byte_count = 4;
  CHECK_IS(client, larder_put(client, &out, LARDER_COMMITTED, LARDER_AUTO, NULL), LARDER_INVALID_ARGUMENT);
  out.bytes = (uint8_t *)larder_arena_bytes(arena) + 4093;
  CHECK_IS(client, larder_put(client, &out, LARDER_COMMITTED, LARDER_AUTO, NULL), LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_get_into(client, &in, 1, 0, NULL, NULL, &result), LARDER_INVALID_ARGUMENT);
  CHECK(result.status == LARDER_INVALID_ARGUMENT && result.message[0] != 0);
  in.into = &byte;
  in.byte_count = 1;
  CHECK_IS(client, larder_get_into(client, &in, 1, 1, NULL, NULL, &result), LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_open_arena(client, 0, &none), LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_register_arena(client, -1, NULL, 4096, &none), LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_register_arena(client, 0, NULL, 4096, &none), LARDER_INVALID_ARGUMENT);
  CHECK_IS(client, larder_register_arena(client, 9999, text, 4096, &none), LARDER_INVALID_ARGUMENT);
  client->limits.features = 0;
  CHECK_IS(client, larder_open_arena(client, 4096, &none), LARDER_NO_ARENAS);
  out.bytes = text;
  out.byte_count = LARDER_FRAME_BYTES;
  CHECK_IS(client, larder_put(client, &out, LARDER_COMMITTED, LARDER_AUTO, NULL), LARDER_TOO_LARGE);
  CHECK_OK(client, larder_put_from(client, &out, 0, LARDER_COMMITTED, LARDER_AUTO, NULL));
  CHECK(larder_is_usable(client) && none == NULL);
  CHECK(larder_sync(NULL) == LARDER_INVALID_ARGUMENT && larder_close_arena(NULL) == LARDER_INVALID_ARGUMENT);
  CHECK(larder_connect(NULL, NULL, 0, NULL) == LARDER_INVALID_ARGUMENT);
  CHECK(!larder_is_usable(NULL) && larder_message(NULL)[0] != 0 && larder_limits_of(NULL) == NULL);
  larder_close(NULL);
  larder_free(NULL);
  CHECK(read(daemon, &byte, 1) < 0 && errno == EAGAIN);
  free(text);
  end_fake(client, daemon);
}

#endif
