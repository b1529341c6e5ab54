/* A live daemon that is killed, stopped, or finds damaged bytes; and threads with a connection each. */
#ifndef LARDER_TESTS_FAULTS_TEST_H
#define LARDER_TESTS_FAULTS_TEST_H

#include "sessions_test.h"

#include <pthread.h>

/* Kills the daemon after a random while, from another process. */
static pid_t kill_later(const live_daemon *d, int milliseconds) {
  pid_t child = fork();
  if (child == 0) {
    poll(NULL, 0, milliseconds);
    kill(d->process, SIGKILL);
    _exit(0);
  }
  return child;
}

/* The daemon is killed in the midst of page-outs and page-ins: the calls end, and what was acknowledged is there. */
static void test_kills(live_daemon *d, unsigned rounds) {
  enum { ITEMS = 256, TOKENS = 16, BYTES = TOKENS * TOKEN_BYTES };
  uint8_t *bytes = (uint8_t *)must_allocate(ITEMS * BYTES), *into = (uint8_t *)must_allocate(ITEMS * BYTES);
  larder_page_out *outs = (larder_page_out *)must_allocate(ITEMS * sizeof *outs);
  larder_page_in *ins = (larder_page_in *)must_allocate(ITEMS * sizeof *ins);
  larder_result *results = (larder_result *)must_allocate(ITEMS * sizeof *results);
  unsigned acknowledged = 0, calls = 0;
  subject = "kills";
  for (unsigned round = 0; round < rounds; round++) {
    char name[20];
    snprintf(name, sizeof name, "killed %u", round);
    larder_client *client = must_connect(d);
    uint64_t session = must_open(client, name, must_declare(client, "memory", false));
    fill_random(bytes, ITEMS * BYTES, 100 + round);
    unsigned done = 0, kill_at = (unsigned)(next_random() % ITEMS);
    pid_t killer = 0;
    larder_status status = LARDER_OK;
    while (status == LARDER_OK && done < ITEMS) {
      unsigned count = 1 + (unsigned)(next_random() % 8);
      if (killer == 0 && done >= kill_at) killer = kill_later(d, (int)(next_random() % 8));
      if (count > ITEMS - done) count = ITEMS - done;
      for (unsigned i = 0; i < count; i++)
        outs[i] = page_out_of(session, (uint64_t)(done + i) * TOKENS, TOKENS, bytes + (done + i) * BYTES);
      status = larder_put_from(client, outs, count, LARDER_COMMITTED, LARDER_AUTO, results);
      for (unsigned i = 0; i < count && results[i].status == LARDER_OK; i++) done++;
      calls++;
    }
    if (killer == 0) killer = kill_later(d, (int)(next_random() % 8));
    for (unsigned i = 0; i < done; i++) {
      outs[i] = page_out_of(session, (uint64_t)i * TOKENS, TOKENS, bytes + i * BYTES);
      ins[i] = page_in_of(&outs[i], into + i * BYTES);
    }
    while (status == LARDER_OK) status = larder_get_into(client, ins, done, 0, NULL, NULL, results);
    CHECK(status == LARDER_CONNECTION_LOST);
    check_lost(client);
    larder_close(client);
    waitpid(killer, NULL, 0);
    end_daemon(d, SIGKILL);
    start_daemon(d);
    client = must_connect(d);
    memset(into, 0, ITEMS * BYTES);
    CHECK_OK(client, larder_get_into(client, ins, done, 0, NULL, NULL, results));
    CHECK(memcmp(into, bytes, done * BYTES) == 0);
    acknowledged += done;
    larder_close(client);
  }
  printf("kills: %u, %u calls, %u acknowledged chunks, all there\n", rounds, calls, acknowledged);
  free(bytes);
  free(into);
  free(outs);
  free(ins);
  free(results);
}

/* A daemon that is stopped: the wait ends, and the connection with it. */
static void test_stopped(const live_daemon *d) {
  larder_client *client;
  subject = "a stopped daemon";
  CHECK_OK(client, larder_connect(d->socket, "c", 5000, &client));
  larder_client *patient = must_connect(d);
  client->timeout_ms = 30;
  kill(d->process, SIGSTOP);
  CHECK(waitpid(d->process, NULL, WUNTRACED) == d->process); /* it has stopped, not only been told to */
  CHECK_IS(client, larder_sync(client), LARDER_TIMED_OUT);
  check_lost(client);
  larder_close(client);
  CHECK_IS(client, larder_connect(d->socket, "c", 30, &client), LARDER_TIMED_OUT);
  check_lost(client);
  kill(d->process, SIGCONT);
  CHECK_OK(patient, larder_sync(patient));
  larder_close(client);
  larder_close(patient);
}

/* Changes a byte in every place of the store's files where these bytes lie. Returns how many. */
static unsigned damage_file(const char *path, const uint8_t *bytes, size_t count) {
  unsigned places = 0;
  int file = open(path, O_RDWR);
  struct stat facts;
  if (file < 0 || fstat(file, &facts) != 0) return 0;
  size_t size = (size_t)facts.st_size;
  uint8_t *all = size < count ? NULL : (uint8_t *)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (all != NULL && (void *)all != MAP_FAILED) {
    for (uint8_t *at = all; (at = (uint8_t *)memmem(at, size - (size_t)(at - all), bytes, count)) != NULL; at++) {
      at[count / 2] ^= 1;
      places++;
    }
    munmap(all, size);
  }
  close(file);
  return places;
}

static unsigned damage_store(const char *folder, const uint8_t *bytes, size_t count) {
  unsigned places = 0;
  struct dirent *entry;
  DIR *listing = opendir(folder);
  while (listing != NULL && (entry = readdir(listing)) != NULL) {
    char path[400];
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    places += entry->d_type == DT_DIR ? damage_store(path, bytes, count) : damage_file(path, bytes, count);
  }
  if (listing != NULL) closedir(listing);
  return places;
}

/* Bytes that were damaged on disk are never served; what lies beside them is. */
static void test_damage(live_daemon *d) {
  enum { TOKENS = 64, BYTES = TOKENS * TOKEN_BYTES };
  static uint8_t bytes[3 * BYTES], into[3 * BYTES];
  larder_page_out outs[3];
  larder_page_in ins[3];
  larder_result results[3];
  larder_verification *verification = NULL;
  larder_client *client = must_connect(d);
  uint64_t session = must_open(client, "damaged", must_declare(client, "memory", false));
  subject = "damage";
  fill_random(bytes, sizeof bytes, 42);
  for (unsigned i = 0; i < 3; i++) {
    outs[i] = page_out_of(session, i * TOKENS, TOKENS, bytes + i * BYTES);
    ins[i] = page_in_of(&outs[i], into + i * BYTES);
  }
  CHECK_OK(client, larder_put_from(client, outs, 3, LARDER_DURABLE, LARDER_RAW, results));
  larder_close(client);
  end_daemon(d, SIGTERM);
  CHECK(damage_store(d->store, bytes + BYTES + 1000, 512) > 0);
  start_daemon(d);
  client = must_connect(d);
  CHECK_IS(client, larder_get_into(client, ins, 3, 0, NULL, NULL, results), LARDER_DAMAGED);
  CHECK(results[0].status == LARDER_OK && results[1].status == LARDER_DAMAGED && results[2].status == LARDER_OK);
  CHECK(memcmp(into, bytes, BYTES) == 0 && memcmp(into + 2 * BYTES, bytes + 2 * BYTES, BYTES) == 0);
  larder_chunk from = {session, 0, 0, 0};
  unsigned damaged = 0, checked = 0;
  for (bool more = true; more;) {
    CHECK_OK(client, larder_verify(client, &from, &verification));
    if (verification == NULL) break;
    more = verification->more;
    from = verification->next;
    checked += (unsigned)verification->checked;
    for (uint32_t i = 0; i < verification->damaged_count; i++) {
      CHECK(verification->damaged[i].chunk.offset == TOKENS && verification->damaged[i].reason[0] != 0);
      damaged++;
    }
    larder_free(verification);
  }
  CHECK(checked == 3 && damaged == 1);
  CHECK_IS(client, put_one(client, &outs[1]), LARDER_DAMAGED);
  CHECK_OK(client, larder_truncate(client, session, TOKENS));
  CHECK_OK(client, larder_put_from(client, outs, 3, LARDER_COMMITTED, LARDER_RAW, results));
  CHECK_OK(client, larder_get_into(client, ins, 3, 0, NULL, NULL, results));
  CHECK(memcmp(into, bytes, sizeof bytes) == 0);
  larder_close(client);
}

typedef struct worker {
  const live_daemon *daemon;
  unsigned number;
  bool is_right;
  pthread_t thread;
} worker;

/* Pages its own chunks out and in. Uses no CHECK, which counts without a lock. */
static void *work(void *argument) {
  enum { TOKENS = 16, BYTES = TOKENS * TOKEN_BYTES, CHUNKS = 64 };
  worker *w = (worker *)argument;
  larder_client *client;
  larder_session session;
  larder_result result;
  larder_declared declared;
  char name[20];
  uint8_t *bytes = (uint8_t *)must_allocate(2 * BYTES);
  larder_component component = {"attention", LARDER_ATTENTION, LARDER_BF16, LAYERS, PLANES, ROW_BYTES, 0};
  larder_model model = {"memory", "v1", "sha256:00", 1, 1, 0, &component, 1};
  snprintf(name, sizeof name, "thread %u", w->number);
  bool is_right = larder_connect(w->daemon->socket, name, 60000, &client) == LARDER_OK &&
                  larder_declare_model(client, &model, &declared) == LARDER_OK &&
                  larder_open_session(client, "tests", name, declared.model_id, true, &session) == LARDER_OK;
  for (unsigned i = 0; is_right && i < CHUNKS; i++) {
    fill_random(bytes, BYTES, w->number * 1000 + i);
    larder_page_out out = page_out_of(session.id, i * TOKENS, TOKENS, bytes);
    larder_page_in in = page_in_of(&out, bytes + BYTES);
    is_right = put_one(client, &out) == LARDER_OK &&
               larder_get_into(client, &in, 1, 0, NULL, NULL, &result) == LARDER_OK &&
               memcmp(bytes, bytes + BYTES, BYTES) == 0;
  }
  w->is_right = is_right;
  larder_close(client);
  free(bytes);
  return NULL;
}

static void test_threads(const live_daemon *d) {
  worker workers[4];
  subject = "threads";
  for (unsigned i = 0; i < 4; i++) {
    workers[i].daemon = d;
    workers[i].number = i;
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) exit(1);
  }
  for (unsigned i = 0; i < 4; i++) {
    pthread_join(workers[i].thread, NULL);
    CHECK(workers[i].is_right);
  }
}

#endif
