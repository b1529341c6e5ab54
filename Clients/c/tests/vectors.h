/* The golden vectors, as flatten_vectors.py writes them. */
#ifndef LARDER_TESTS_VECTORS_H
#define LARDER_TESTS_VECTORS_H

#include "check.h"

#include <stdint.h>

/* A field by its path, such as "chunks.0.tokens". */
typedef struct field {
  char *path;
  char *value;
} field;

/* A frame, and the fields that it stands for. */
typedef struct vector {
  char *name, *message, *kind;
  char *code; /* of a hostile one; else NULL */
  uint64_t id;
  field *fields;
  size_t field_count;
  uint8_t *payload, *frame;
  size_t payload_bytes, frame_bytes;
} vector;

static vector *vectors;
static size_t vector_count;
static field *constants; /* error codes */
static size_t constant_count;
static field *limits;
static size_t limit_count;

static char *must_copy(const char *text) {
  char *copy = (char *)must_allocate(strlen(text) + 1);
  memcpy(copy, text, strlen(text));
  return copy;
}

static void *must_grow(void *list, size_t count, size_t size) {
  void *grown = realloc(list, (count + 1) * size);
  if (grown == NULL) exit(1);
  memset((char *)grown + count * size, 0, size);
  return grown;
}

/* The bytes of "s:" and hexadecimal digits, with a zero after them. */
static uint8_t *from_hex(const char *text, size_t *count) {
  *count = (strlen(text) - 2) / 2;
  uint8_t *bytes = (uint8_t *)must_allocate(*count + 1);
  for (size_t i = 0; i < *count; i++) {
    char digits[3] = {text[2 + 2 * i], text[3 + 2 * i], 0};
    bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
  }
  return bytes;
}

static void add_field(field **list, size_t *count, const char *path, const char *value) {
  *list = (field *)must_grow(*list, *count, sizeof **list);
  (*list)[*count].path = must_copy(path);
  (*list)[*count].value = must_copy(value);
  ++*count;
}

static void read_line(char *words[5]) {
  vector *last = vector_count > 0 ? &vectors[vector_count - 1] : NULL;
  if (strcmp(words[0], "constant") == 0) {
    add_field(&constants, &constant_count, words[2], words[3]);
  } else if (strcmp(words[0], "limit") == 0) {
    add_field(&limits, &limit_count, words[1], words[2]);
  } else if (strcmp(words[0], "vector") == 0 || strcmp(words[0], "hostile") == 0) {
    vectors = (vector *)must_grow(vectors, vector_count, sizeof *vectors);
    last = &vectors[vector_count++];
    last->name = must_copy(words[1]);
    last->message = must_copy(words[2]);
    last->kind = must_copy(words[3]);
    if (words[0][0] == 'h') last->code = must_copy(words[4]);
    if (words[0][0] == 'v') last->id = strtoull(words[4], NULL, 10);
  } else if (last != NULL && strcmp(words[0], "field") == 0) {
    add_field(&last->fields, &last->field_count, words[1], words[2]);
  } else if (last != NULL && strcmp(words[0], "payload") == 0) {
    last->payload = from_hex(words[1], &last->payload_bytes);
  } else if (last != NULL && strcmp(words[0], "frame") == 0) {
    last->frame = from_hex(words[1], &last->frame_bytes);
  }
}

/* Reads them all. */
static void read_vectors(const char *path) {
  FILE *file = fopen(path, "r");
  char *line = NULL;
  size_t capacity = 0;
  if (file == NULL) {
    fprintf(stderr, "no vectors at %s: flatten_vectors.py writes them\n", path);
    exit(1);
  }
  while (getline(&line, &capacity, file) > 0) {
    char *words[5] = {0}, *rest = NULL;
    for (int i = 0; i < 5; i++) {
      words[i] = strtok_r(i == 0 ? line : NULL, " \n", &rest);
      if (words[i] == NULL) break;
    }
    if (words[0] != NULL) read_line(words);
  }
  free(line);
  fclose(file);
}

static void free_fields(field *list, size_t count) {
  for (size_t i = 0; i < count; i++) {
    free(list[i].path);
    free(list[i].value);
  }
  free(list);
}

static void free_vectors(void) {
  for (size_t i = 0; i < vector_count; i++) {
    vector *v = &vectors[i];
    free_fields(v->fields, v->field_count);
    free(v->name);
    free(v->message);
    free(v->kind);
    free(v->code);
    free(v->payload);
    free(v->frame);
  }
  free(vectors);
  free_fields(constants, constant_count);
  free_fields(limits, limit_count);
}

/* A field's value. The path is a format, for indices. */
__attribute__((format(printf, 2, 3))) static const char *value_of(const vector *v, const char *format, ...) {
  char path[200];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(path, sizeof path, format, arguments);
  va_end(arguments);
  for (size_t i = 0; i < v->field_count; i++)
    if (strcmp(v->fields[i].path, path) == 0) return v->fields[i].value;
  return "null";
}

#define IS_NULL(...) (strcmp(value_of(__VA_ARGS__), "null") == 0)
#define NUMBER(...) strtoull(value_of(__VA_ARGS__), NULL, 10)
#define NUMBER32(...) ((uint32_t)NUMBER(__VA_ARGS__))
#define NUMBER16(...) ((uint16_t)NUMBER(__VA_ARGS__))

/* Texts that are handed out; freed together. */
static char *handed_out[4096];
static size_t handed_out_count;

static char *text_from(const char *value) {
  size_t count;
  char *text = strcmp(value, "null") == 0 ? must_copy("") : (char *)from_hex(value, &count);
  if (handed_out_count == sizeof handed_out / sizeof handed_out[0]) exit(1);
  handed_out[handed_out_count++] = text;
  return text;
}

static void free_texts(void) {
  while (handed_out_count > 0) free(handed_out[--handed_out_count]);
}

#define TEXT(...) text_from(value_of(__VA_ARGS__))

/* A key from a text of 64 hexadecimal digits. */
static larder_key key_from(const char *text) {
  larder_key key;
  memset(&key, 0, sizeof key);
  for (size_t i = 0; i < sizeof key.bytes && strlen(text) == 64; i++) {
    char digits[3] = {text[2 * i], text[2 * i + 1], 0};
    key.bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
  }
  return key;
}

#define KEY(...) key_from(TEXT(__VA_ARGS__))

#endif
