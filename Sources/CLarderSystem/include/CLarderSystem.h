// What Swift cannot import from the C library: macros and variadic calls.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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

// Supplementary groups of the peer (SO_PEERGROUPS, Linux 4.13). Returns how many, or -1; ERANGE if there are more than `most`.
static inline int larder_peer_groups_of(int socket, uint32_t *groups, int most) {
  socklen_t length = (socklen_t)most * sizeof(*groups);
  if (getsockopt(socket, SOL_SOCKET, 59 /* SO_PEERGROUPS */, groups, &length) != 0) return -1;
  return (int)(length / sizeof(*groups));
}

// prctl(2): with 0 no core file is written, and no other process of the same user looks into this one's memory.
static inline int larder_set_dumpable(int is_dumpable) { return prctl(PR_SET_DUMPABLE, is_dumpable, 0, 0, 0); }

// prctl(2): nothing that this process or a child executes gains rights.
static inline int larder_set_no_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

// Keeps those capabilities that are both in `kept` (bit n is capability n) and held, and takes the others from the bounding
// set, too, as far as that is allowed. capset(2), of the calling thread: call it before others start.
static inline int larder_keep_capabilities(uint64_t kept) {
  struct { uint32_t version; int32_t pid; } header = {0x20080522 /* _LINUX_CAPABILITY_VERSION_3 */, 0};
  struct { uint32_t effective, permitted, inheritable; } sets[2];
  if (syscall(SYS_capget, &header, sets) != 0) return -1;
  for (int number = 0; number < 64; number++) {
    if (!(kept >> number & 1)) prctl(PR_CAPBSET_DROP, number, 0, 0, 0);
  }
  for (int half = 0; half < 2; half++) {
    sets[half].permitted &= (uint32_t)(kept >> (32 * half));
    sets[half].effective = sets[half].permitted;
    sets[half].inheritable = 0;
  }
  return (int)syscall(SYS_capset, &header, sets);
}

// Makes the calling thread another user's, and no other: the C library's calls do so for all threads. For root.
static inline int larder_become_on_this_thread(uint32_t user, uint32_t group, const uint32_t *groups, size_t count) {
  if (syscall(SYS_setgroups, count, groups) != 0) return -1;
  if (syscall(SYS_setresgid, group, group, group) != 0) return -1;
  return (int)syscall(SYS_setresuid, user, user, user);
}

// open(2) with a mode: variadic in C.
static inline int larder_open(const char *path, int flags, mode_t mode) {
  return open(path, flags, mode);
}

// pipe2(2) hides behind _GNU_SOURCE.
static inline int larder_pipe(int ends[2]) { return (int)syscall(SYS_pipe2, ends, O_CLOEXEC); }

static inline int larder_wait_status_exited(int status) { return WIFEXITED(status); }
static inline int larder_wait_exit_code(int status) { return WEXITSTATUS(status); }
static inline int larder_wait_signal(int status) { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }

// prctl(2) is variadic; the kernel keeps 15 bytes.
static inline void larder_set_thread_name(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

// Makes the calling thread nicer to others, once: threads that others start cannot be told so when they start. setpriority(2)
// sets one thread's value on Linux.
static inline void larder_lower_priority_once(int nice_value) {
  static __thread int is_done;
  if (is_done) return;
  is_done = 1;
  setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), nice_value);
}

// sched_getaffinity(2) and sched_setaffinity(2) of the calling thread, by words of 64 processors: cpu_set_t hides behind
// _GNU_SOURCE.
static inline int larder_get_affinity(uint64_t *words, size_t count) {
  return (int)syscall(SYS_sched_getaffinity, 0, count * sizeof(*words), words);
}
static inline int larder_set_affinity(const uint64_t *words, size_t count) {
  return (int)syscall(SYS_sched_setaffinity, 0, count * sizeof(*words), words);
}

// Descriptors over a socket (unix(7), SCM_RIGHTS): the CMSG macros cannot be imported.

enum { LARDER_DESCRIPTORS_MAX = 4 };

// Sends the first bytes of a message together with one descriptor. Returns what sendmsg(2) returns.
static inline ssize_t larder_send_with_descriptor(int socket, const void *bytes, size_t count, int descriptor) {
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
  union {
    char room[CMSG_SPACE(sizeof(int))];
    struct cmsghdr alignment;
  } control;
  memset(&control, 0, sizeof(control));
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room)};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
  return sendmsg(socket, &message, MSG_NOSIGNAL);
}

// Receives bytes and the descriptors that came with them: at most LARDER_DESCRIPTORS_MAX, the rest is closed by the
// kernel and *truncated set. The caller owns what is in `descriptors`. Returns what recvmsg(2) returns.
static inline ssize_t larder_receive_with_descriptors(int socket, void *bytes, size_t count, int *descriptors,
                                                      int *descriptor_count, int *truncated) {
  struct iovec part = {.iov_base = bytes, .iov_len = count};
  union {
    char room[CMSG_SPACE(sizeof(int) * LARDER_DESCRIPTORS_MAX)];
    struct cmsghdr alignment;
  } control;
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room)};
  *descriptor_count = 0;
  *truncated = 0;
  ssize_t received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (received < 0) return received;
  *truncated = (message.msg_flags & MSG_CTRUNC) != 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int found = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int index = 0; index < found; index++) {
      int descriptor;
      memcpy(&descriptor, CMSG_DATA(header) + index * sizeof(int), sizeof(int));
      if (*descriptor_count < LARDER_DESCRIPTORS_MAX) {
        descriptors[(*descriptor_count)++] = descriptor;
      } else {
        close(descriptor);
        *truncated = 1;
      }
    }
  }
  return received;
}

// These hide behind _GNU_SOURCE, which must not be defined here: the C library's own module is built without it. The
// values are the kernel's (linux/fcntl.h, linux/memfd.h).
enum {
  LARDER_F_ADD_SEALS = 1033,
  LARDER_F_GET_SEALS = 1034,
  LARDER_SEAL_SEAL = 1,
  LARDER_SEAL_SHRINK = 2,
  LARDER_SEAL_GROW = 4,
  LARDER_MFD_CLOEXEC = 1,
  LARDER_MFD_ALLOW_SEALING = 2,
};

// Seals (fcntl(2), F_ADD_SEALS): neither shorter nor longer, and no seal ever taken back.
static inline int larder_seal_size(int descriptor) {
  return fcntl(descriptor, LARDER_F_ADD_SEALS, LARDER_SEAL_SHRINK | LARDER_SEAL_GROW | LARDER_SEAL_SEAL);
}

// 1 if the file is sealed against shrinking and growing, 0 if not, -1 if it knows no seals.
static inline int larder_is_size_sealed(int descriptor) {
  int seals = fcntl(descriptor, LARDER_F_GET_SEALS);
  if (seals < 0) return -1;
  return (seals & (LARDER_SEAL_SHRINK | LARDER_SEAL_GROW)) == (LARDER_SEAL_SHRINK | LARDER_SEAL_GROW);
}

static inline int larder_memfd_create(const char *name) {
  return (int)syscall(SYS_memfd_create, name, LARDER_MFD_CLOEXEC | LARDER_MFD_ALLOW_SEALING);
}

/* See Memory.keepFreed. Returns 0 on failure. */
static inline int larder_keep_freed(int mapped_from, int kept) {
#ifdef M_ARENA_MAX
  return mallopt(M_MMAP_THRESHOLD, mapped_from) && mallopt(M_TRIM_THRESHOLD, kept) && mallopt(M_ARENA_MAX, 1);
#else
  (void)mapped_from;
  (void)kept;
  return 0;
#endif
}

/* Processors that the calling thread may run on, sched_getaffinity(2); 1 if the kernel does not say. */
static inline int larder_processors(void) {
  unsigned long mask[128] = {0};
  long bytes = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
  int count = 0;
  for (long word = 0; word < bytes / (long)sizeof mask[0]; word++) count += __builtin_popcountl(mask[word]);
  return count > 0 ? count : 1;
}

/* fallocate(2) and its flags hide behind _GNU_SOURCE; the values are the kernel's (linux/falloc.h). */
enum { LARDER_FALLOCATE_KEEP_SIZE = 1, LARDER_FALLOCATE_PUNCH_HOLE = 2 };

/* Gives the blocks of part of a file back: it reads as zeros. */
static inline int larder_punch_hole(int descriptor, int64_t offset, int64_t bytes) {
  return (int)syscall(SYS_fallocate, descriptor, LARDER_FALLOCATE_PUNCH_HOLE | LARDER_FALLOCATE_KEEP_SIZE, offset, bytes);
}

/* Gives the start of a file its blocks. */
static inline int larder_reserve_blocks(int descriptor, int64_t bytes) {
  return (int)syscall(SYS_fallocate, descriptor, LARDER_FALLOCATE_KEEP_SIZE, (int64_t)0, bytes);
}
