/* A real larderd in a folder of its own. */
#ifndef LARDER_TESTS_DAEMON_H
#define LARDER_TESTS_DAEMON_H

#include "connect_test.h"

#include <sys/prctl.h>

typedef struct live_daemon {
  const char *program;
  char folder[80];
  char socket[100];
  char store[100];
  pid_t process;
} live_daemon;

/* Starts it and waits until it answers. */
static void start_daemon(live_daemon *d) {
  char log[100];
  snprintf(log, sizeof log, "%s/log", d->folder);
  d->process = fork();
  if (d->process == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* it ends with the tests, however these end */
    int output = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(output, 1);
    dup2(output, 2);
    execl(d->program, d->program, "--socket", d->socket, "--data-dir", d->store, "--cap", "512MiB", (char *)NULL);
    _exit(127);
  }
  for (int tries = 0; tries < 6000; tries++) {
    larder_client *client;
    larder_status status = larder_connect(d->socket, "wait", 30000, &client);
    larder_close(client);
    if (status == LARDER_OK) return;
    if (waitpid(d->process, NULL, WNOHANG) != 0) break;
    poll(NULL, 0, 10);
  }
  fprintf(stderr, "%s does not answer; its log is %s\n", d->program, log);
  exit(1);
}

static void end_daemon(live_daemon *d, int signal) {
  kill(d->process, signal);
  waitpid(d->process, NULL, 0);
}

static void new_daemon(live_daemon *d, const char *program, const char *folder) {
  memset(d, 0, sizeof *d);
  d->program = program;
  snprintf(d->folder, sizeof d->folder, "%s", folder);
  snprintf(d->socket, sizeof d->socket, "%s/s", d->folder);
  snprintf(d->store, sizeof d->store, "%s/store", d->folder);
  start_daemon(d);
}

/* A connection that must come about. */
static larder_client *must_connect(const live_daemon *d) {
  larder_client *client;
  CHECK_OK(client, larder_connect(d->socket, "c test", 60000, &client));
  if (!larder_is_usable(client)) exit(1);
  return client;
}

/* Layouts of the models that the tests declare. */
enum { LAYERS = 8, PLANES = 2, ROW_BYTES = 64, TOKEN_BYTES = LAYERS * PLANES * ROW_BYTES, STATE_BYTES = 4 * 1024 };

/* Attention, and with it a recurrent component if told to. Returns the model's id. */
static uint32_t must_declare(larder_client *client, const char *name, bool is_hybrid) {
  larder_component components[2] = {
      {"attention", LARDER_ATTENTION, LARDER_BF16, LAYERS, PLANES, ROW_BYTES, 0},
      {"delta", LARDER_RECURRENT, LARDER_F32, 4, 1, 1024, 0},
  };
  larder_model model = {name, "v1", "sha256:00", 1, 1, 0, components, (uint16_t)(is_hybrid ? 2 : 1)};
  larder_declared declared = {0, {{0}}};
  CHECK_OK(client, larder_declare_model(client, &model, &declared));
  return declared.model_id;
}

static uint64_t must_open(larder_client *client, const char *name, uint32_t model_id) {
  larder_session session = {0, false};
  CHECK_OK(client, larder_open_session(client, "tests", name, model_id, true, &session));
  return session.id;
}

/* Bytes that no other seed gives. */
static void fill_random(uint8_t *bytes, size_t count, uint64_t seed) {
  uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (size_t i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    bytes[i] = (uint8_t)(state >> 32);
  }
}

static larder_page_out page_out_of(uint64_t session, uint64_t offset, uint32_t tokens, const void *bytes) {
  larder_page_out item;
  memset(&item, 0, sizeof item);
  item.chunk.session = session;
  item.chunk.offset = offset;
  item.tokens = tokens;
  item.bytes = bytes;
  item.byte_count = (size_t)tokens * TOKEN_BYTES;
  return item;
}

static larder_page_in page_in_of(const larder_page_out *out, void *into) {
  larder_page_in item;
  memset(&item, 0, sizeof item);
  item.chunk = out->chunk;
  item.into = into;
  item.byte_count = out->byte_count;
  return item;
}

static larder_status put_one(larder_client *client, const larder_page_out *item) {
  return larder_put(client, item, LARDER_COMMITTED, LARDER_AUTO, NULL);
}

#endif
