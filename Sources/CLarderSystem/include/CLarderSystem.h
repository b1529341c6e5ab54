// What Swift cannot import from the C library: macros and variadic calls.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

// struct ucred hides behind _GNU_SOURCE; this has its layout (SO_PEERCRED, socket(7)).
typedef struct larder_peer_credentials {
  int32_t pid;
  uint32_t uid;
  uint32_t gid;
} larder_peer_credentials;

static inline int larder_peer_credentials_of(int socket, larder_peer_credentials *out) {
  socklen_t length = sizeof(*out);
  return getsockopt(socket, SOL_SOCKET, 17 /* SO_PEERCRED */, out, &length);
}

// open(2) with a mode: variadic in C.
static inline int larder_open(const char *path, int flags, mode_t mode) {
  return open(path, flags, mode);
}

static inline int larder_wait_status_exited(int status) { return WIFEXITED(status); }
static inline int larder_wait_exit_code(int status) { return WEXITSTATUS(status); }
static inline int larder_wait_signal(int status) { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }

// prctl(2) is variadic; the kernel keeps 15 bytes.
static inline void larder_set_thread_name(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }
