/* The tests of larder.h, one program.
 *
 *   main vectors FILE FOLDER   the golden vectors, as flatten_vectors.py writes them to FILE; hostile daemons that are
 *                              played, with a socket in FOLDER
 *   main live PROGRAM FOLDER   everything against PROGRAM, a larderd, with its store in FOLDER
 *   main print-keys            digests and prefix keys, as prefix_keys.py prints them
 *
 * FOLDER is empty, and its path at most 70 bytes long. */
#define LARDER_IMPLEMENTATION
#include "../larder.h"

#include "faults_test.h"
#include "keys_test.h"

static void seed_random(void) {
  const char *given = getenv("LARDER_SEED");
  uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 20261125;
  random_state = seed == 0 ? 1 : seed;
  printf("seed %llu (set LARDER_SEED to repeat or vary)\n", (unsigned long long)seed);
}

static void test_without_daemon(const char *file, const char *folder) {
  read_vectors(file);
  test_vectors();
  test_keys();
  test_truncations();
  test_list_limits();
  test_mutations(2000);
  test_frames();
  test_endings();
  test_trickle();
  test_sending();
  test_arenas();
  test_mutated_frames(60);
  test_batches();
  test_connecting(folder);
  test_fork();
  test_arguments();
  free_vectors();
}

static void test_with_daemon(const char *program, const char *folder) {
  live_daemon daemon;
  new_daemon(&daemon, program, folder);
  test_models(&daemon);
  test_memory(&daemon);
  test_many_arenas(&daemon);
  test_no_room_to_map(&daemon);
  test_layers(&daemon);
  test_prefix_keys(&daemon);
  test_refused_items(&daemon);
  test_many_misses(&daemon);
  test_sessions(&daemon);
  test_hybrid(&daemon);
  test_hints(&daemon);
  test_policies(&daemon);
  test_listings(&daemon);
  test_threads(&daemon);
  test_stopped(&daemon);
  test_damage(&daemon);
  test_kills(&daemon, 10);
  end_daemon(&daemon, SIGTERM);
}

int main(int count, char **arguments) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (count == 2 && strcmp(arguments[1], "print-keys") == 0) {
    print_keys();
    return 0;
  }
  bool is_live = count == 4 && strcmp(arguments[1], "live") == 0;
  if (count != 4 || (!is_live && strcmp(arguments[1], "vectors") != 0) || strlen(arguments[3]) > 70) {
    fprintf(stderr, "usage: main vectors FILE FOLDER | live PROGRAM FOLDER | print-keys\n");
    return 64;
  }
  seed_random();
  if (is_live)
    test_with_daemon(arguments[2], arguments[3]);
  else
    test_without_daemon(arguments[2], arguments[3]);
  printf("%lu checks, %lu failed\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
