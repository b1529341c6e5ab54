/* Connections without a daemon: the other end of a socket pair holds answers that were written beforehand. */
#ifndef LARDER_TESTS_FAKE_H
#define LARDER_TESTS_FAKE_H

#include "check.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A connection that has shaken hands, and the daemon's end of it. */
static larder_client *fake_client(int *daemon) {
  int ends[2], bytes = 4 << 20;
  larder_client *client = (larder_client *)must_allocate(sizeof *client);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) exit(1);
  setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  client->socket = ends[0];
  *daemon = ends[1];
  client->descriptor = -1;
  client->process = getpid();
  client->timeout_ms = 10000;
  client->next_id = 1;
  client->limits.version = 1;
  client->limits.features = 1;
  client->limits.frame_bytes = LARDER_FRAME_BYTES;
  client->limits.batch_items = LARDER_BATCH_ITEMS;
  client->limits.requests_in_flight = 64;
  client->out.limit = LARDER_FRAME_BYTES;
  return client;
}

static void end_fake(larder_client *client, int daemon) {
  larder_close(client);
  close(daemon);
}

/* A frame under construction. */
typedef struct frame_bytes {
  uint8_t *bytes;
  size_t count;
} frame_bytes;

static frame_bytes frame_of(unsigned type, uint64_t id, const void *body, size_t count) {
  frame_bytes frame;
  frame.count = LRD_HEADER_BYTES + count;
  frame.bytes = (uint8_t *)must_allocate(frame.count);
  for (size_t i = 0; i < 4; i++) frame.bytes[i] = (uint8_t)(count >> (8 * i));
  frame.bytes[4] = (uint8_t)type;
  frame.bytes[5] = (uint8_t)(type >> 8);
  for (size_t i = 0; i < 8; i++) frame.bytes[8 + i] = (uint8_t)(id >> (8 * i));
  if (count > 0) memcpy(frame.bytes + LRD_HEADER_BYTES, body, count);
  return frame;
}

/* Writes bytes for the client to find. */
static void lay_out(int daemon, const void *bytes, size_t count) {
  if (write(daemon, bytes, count) == (ssize_t)count) return;
  fprintf(stderr, "%s: the socket takes no %zu bytes\n", subject, count);
  exit(1);
}

static void lay_out_frame(int daemon, unsigned type, uint64_t id, const void *body, size_t count) {
  frame_bytes frame = frame_of(type, id, body, count);
  lay_out(daemon, frame.bytes, frame.count);
  free(frame.bytes);
}

/* Writes a refusal of the request with this id: code, no item, no message. */
static void lay_out_refusal(int daemon, uint64_t id, unsigned code) {
  uint8_t body[8] = {(uint8_t)code, (uint8_t)(code >> 8), 0xFF, 0xFF, 0xFF, 0xFF, 0, 0};
  lay_out_frame(daemon, LRD_REFUSAL_TYPE, id, body, sizeof body);
}

/* Checks that the client sent exactly these bytes. */
static void check_sent(int daemon, const uint8_t *bytes, size_t count) {
  uint8_t *sent = (uint8_t *)must_allocate(count + 64);
  ssize_t came = read(daemon, sent, count + 64);
  CHECK(came == (ssize_t)count);
  CHECK(came == (ssize_t)count && memcmp(sent, bytes, count) == 0);
  free(sent);
}

#endif
