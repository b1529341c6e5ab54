/* The tests' own asserts: a check that fails is printed and counted, and the rest goes on. */
#ifndef LARDER_TESTS_CHECK_H
#define LARDER_TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long checks;
static unsigned long failures;
static const char *subject = ""; /* what is checked: a vector's name, a step */

static void check_failed(const char *file, int line, const char *what, const char *detail) {
  failures++;
  fprintf(stderr, "%s:%d: %s: %s%s%s\n", file, line, subject, what, detail[0] != 0 ? ": " : "", detail);
}

#define CHECK(condition)                                                       \
  do {                                                                         \
    checks++;                                                                  \
    if (!(condition)) check_failed(__FILE__, __LINE__, #condition, "");        \
  } while (0)

/* A call that must come to `status`. */
#define CHECK_IS(client, call, status)                                                        \
  do {                                                                                        \
    larder_status check_came = (call);                                                        \
    checks++;                                                                                 \
    if (check_came != (status)) {                                                             \
      char check_detail[1200];                                                                \
      snprintf(check_detail, sizeof check_detail, "%s, not %s (%s)", larder_status_name(check_came), \
               larder_status_name(status), larder_message(client));                           \
      check_failed(__FILE__, __LINE__, #call, check_detail);                                  \
    }                                                                                         \
  } while (0)

#define CHECK_OK(client, call) CHECK_IS(client, call, LARDER_OK)

/* Memory that a test cannot go on without. */
static void *must_allocate(size_t count) {
  void *memory = calloc(1, count == 0 ? 1 : count);
  if (memory == NULL) {
    fprintf(stderr, "memory for the tests is out\n");
    exit(1);
  }
  return memory;
}

#endif
