// Stands between larderd and the C library (LD_PRELOAD): makes the n-th call of a kind fail, tear or kill, moves the
// wall clock, and records what is written under one directory, in an order that a disk could have seen it in.
//
//   LARDER_FAULTS_DIRECTORY   absolute path; only files in it are watched
//   LARDER_FAULTS_CONTROL     a file of at least sizeof(struct control) bytes, mapped by both sides (shim.py)
//   LARDER_FAULTS_RECORD      where to append records to; absent: nothing is recorded
//
// Watched calls are serialised by one lock, so that the record's order is the order of the calls. What goes through a
// map is not seen: Larder writes no data that way (LMDB without MDB_WRITEMAP; lock.mdb is worth nothing after a crash).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    CALL_WRITE = 1, CALL_SYNC = 2, CALL_TRUNCATE = 4, CALL_FALLOCATE = 8, CALL_RENAME = 16, CALL_OPEN = 32,
    CALL_READ = 64, CALL_UNLINK = 128, CALL_MKDIR = 256
};
enum { ACT_NONE, ACT_EIO, ACT_ENOSPC, ACT_TEAR_EIO, ACT_SHORT, ACT_KILL, ACT_TEAR_KILL, ACT_ENOSPC_TEAR };
enum {
    OP_CREATE = 1, OP_WRITE, OP_TRUNCATE, OP_PUNCH, OP_SYNC, OP_RENAME, OP_UNLINK, OP_MKDIR, OP_RMDIR, OP_SYNC_FAILED
};

// Written by the harness while the daemon runs; `seen` and `failed` are written here.
struct control {
    uint32_t armed, calls, action, reserved;
    int64_t skip, fail;
    uint64_t seen, failed;
    int64_t wall_offset_seconds;
};

struct record {
    uint64_t start_ns, end_ns;
    uint32_t op, path_bytes;
    uint64_t inode, offset, length;
};

static struct control *control;
static const char *directory;
static size_t directory_bytes;
static int record_file = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

enum { MAX_FILES = 1 << 16 };
// Inode of each watched descriptor, 0 for others; and whether its writes are through (O_SYNC, O_DSYNC).
static uint64_t watched[MAX_FILES];
static uint8_t is_through[MAX_FILES];

#define REAL(result, name, ...) \
    static result (*real_##name)(__VA_ARGS__); \
    if (!real_##name) real_##name = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static uint64_t now(void) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    struct timespec t;
    real_clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void write_record(const void *bytes, size_t count) {
    REAL(ssize_t, write, int, const void *, size_t);
    while (count > 0) {
        ssize_t n = real_write(record_file, bytes, count);
        if (n <= 0) abort();  // A record with gaps would prove nothing.
        bytes = (const char *)bytes + n;
        count -= (size_t)n;
    }
}

__attribute__((constructor)) static void start(void) {
    REAL(int, open, const char *, int, ...);
    directory = getenv("LARDER_FAULTS_DIRECTORY");
    if (!directory) return;
    directory_bytes = strlen(directory);
    const char *path = getenv("LARDER_FAULTS_CONTROL");
    int file = path ? real_open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *map = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (map != MAP_FAILED) control = map;
        close(file);
    }
    path = getenv("LARDER_FAULTS_RECORD");
    if (path) record_file = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_inside(const char *path) {
    return directory && path && strncmp(path, directory, directory_bytes) == 0
        && (path[directory_bytes] == '/' || path[directory_bytes] == 0);
}

static uint64_t inode_of(int fd) { return fd >= 0 && fd < MAX_FILES ? watched[fd] : 0; }

// What is to become of this call. The caller holds the lock.
static uint32_t next_action(uint32_t call) {
    if (!control || !__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE) || !(control->calls & call)) return ACT_NONE;
    if (control->seen++ < (uint64_t)control->skip) return ACT_NONE;
    if (control->fail >= 0 && control->failed >= (uint64_t)control->fail) return ACT_NONE;
    control->failed++;
    return control->action;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

// Does what an action means to a call that has no part to do. Returns 0 if the call is to be made.
static int refuse(uint32_t action) {
    switch (action) {
    case ACT_NONE: case ACT_SHORT: return 0;
    case ACT_KILL: case ACT_TEAR_KILL: die();
    // fallthrough
    case ACT_EIO: case ACT_TEAR_EIO: errno = EIO; return -1;
    default: errno = ENOSPC; return -1;
    }
}

static void note(uint32_t op, uint64_t start_ns, uint64_t inode, uint64_t offset, uint64_t length, const char *path,
                 const char *other) {
    if (record_file < 0) return;
    int saved = errno;
    size_t first = path ? strlen(path) + 1 : 0, second = other ? strlen(other) + 1 : 0;
    struct record r = {start_ns, now(), op, (uint32_t)(first + second), inode, offset, length};
    write_record(&r, sizeof r);
    if (first) write_record(path, first);
    if (second) write_record(other, second);
    errno = saved;
}

static void note_write(int fd, uint64_t start_ns, off_t at, const struct iovec *parts, size_t length) {
    if (record_file < 0 || length == 0) return;
    int saved = errno;
    struct record r = {start_ns, now(), OP_WRITE, 0, watched[fd], (uint64_t)at, length};
    write_record(&r, sizeof r);
    for (size_t left = length; left > 0; parts++) {
        size_t count = parts->iov_len < left ? parts->iov_len : left;
        write_record(parts->iov_base, count);
        left -= count;
    }
    if (is_through[fd]) note(OP_SYNC, start_ns, watched[fd], 0, 0, NULL, NULL);
    errno = saved;
}

// The first `count` bytes of the parts, at `offset`, or at the file's position if that is negative.
static ssize_t write_parts(int fd, const struct iovec *parts, int number, size_t count, off_t offset) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t);
    struct iovec some[IOV_MAX > 1024 ? 1024 : IOV_MAX];
    int used = 0;
    for (size_t left = count; left > 0 && used < number; used++) {
        some[used] = parts[used];
        if (some[used].iov_len > left) some[used].iov_len = left;
        left -= some[used].iov_len;
    }
    return offset < 0 ? real_writev(fd, some, used) : real_pwritev(fd, some, used, offset);
}

static ssize_t watched_write(int fd, const struct iovec *parts, int number, off_t offset) {
    size_t total = 0;
    for (int i = 0; i < number; i++) total += parts[i].iov_len;
    pthread_mutex_lock(&lock);
    uint32_t action = next_action(CALL_WRITE);
    int tears = action == ACT_TEAR_EIO || action == ACT_SHORT || action == ACT_TEAR_KILL || action == ACT_ENOSPC_TEAR;
    ssize_t result = -1;
    if (action == ACT_NONE || tears) {
        uint64_t start_ns = now();
        off_t at = offset < 0 ? lseek(fd, 0, SEEK_CUR) : offset;
        result = write_parts(fd, parts, number, tears ? total / 2 : total, offset);
        if (result > 0) note_write(fd, start_ns, at, parts, (size_t)result);
    }
    if (action != ACT_NONE && refuse(action) != 0) result = -1;
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(ssize_t, write, int, const void *, size_t);
    if (!inode_of(fd)) return real_write(fd, bytes, count);
    return watched_write(fd, &(struct iovec){(void *)bytes, count}, 1, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    if (!inode_of(fd)) return real_pwrite(fd, bytes, count, offset);
    return watched_write(fd, &(struct iovec){(void *)bytes, count}, 1, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) { return pwrite(fd, bytes, count, offset); }

ssize_t writev(int fd, const struct iovec *parts, int number) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    return inode_of(fd) ? watched_write(fd, parts, number, -1) : real_writev(fd, parts, number);
}

ssize_t pwritev(int fd, const struct iovec *parts, int number, off_t offset) {
    REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t);
    return inode_of(fd) ? watched_write(fd, parts, number, offset) : real_pwritev(fd, parts, number, offset);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int number, off_t offset) {
    return pwritev(fd, parts, number, offset);
}

ssize_t pread(int fd, void *bytes, size_t count, off_t offset) {
    REAL(ssize_t, pread, int, void *, size_t, off_t);
    if (!inode_of(fd)) return real_pread(fd, bytes, count, offset);
    pthread_mutex_lock(&lock);
    int refused = refuse(next_action(CALL_READ));
    pthread_mutex_unlock(&lock);
    return refused ? -1 : real_pread(fd, bytes, count, offset);
}
ssize_t pread64(int fd, void *bytes, size_t count, off_t offset) { return pread(fd, bytes, count, offset); }

// A call on a descriptor that either happens whole or not at all.
#define WATCHED(call_bit, fd, real, op, offset, length) \
    pthread_mutex_lock(&lock); \
    uint64_t start_ns = now(); \
    int result = refuse(next_action(call_bit)); \
    if (result == 0) result = (real); \
    if (result == 0 && (op)) note(op, start_ns, watched[fd], offset, length, NULL, NULL); \
    pthread_mutex_unlock(&lock); \
    return result

// A sync that fails is recorded too: what it was to write may never be, and a later one that succeeds tells nothing.
static int watched_sync(int fd, int (*real)(int)) {
    pthread_mutex_lock(&lock);
    uint64_t start_ns = now();
    int result = refuse(next_action(CALL_SYNC));
    if (result == 0) result = real(fd);
    note(result == 0 ? OP_SYNC : OP_SYNC_FAILED, start_ns, watched[fd], 0, 0, NULL, NULL);
    pthread_mutex_unlock(&lock);
    return result;
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return inode_of(fd) ? watched_sync(fd, real_fdatasync) : real_fdatasync(fd);
}

int fsync(int fd) {
    REAL(int, fsync, int);
    return inode_of(fd) ? watched_sync(fd, real_fsync) : real_fsync(fd);
}

int ftruncate(int fd, off_t length) {
    REAL(int, ftruncate, int, off_t);
    if (!inode_of(fd)) return real_ftruncate(fd, length);
    WATCHED(CALL_TRUNCATE, fd, real_ftruncate(fd, length), OP_TRUNCATE, 0, (uint64_t)length);
}
int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

int fallocate(int fd, int mode, off_t offset, off_t length) {
    REAL(int, fallocate, int, int, off_t, off_t);
    if (!inode_of(fd)) return real_fallocate(fd, mode, offset, length);
    uint32_t op = mode & FALLOC_FL_PUNCH_HOLE ? OP_PUNCH : 0;
    if (op == 0 && !(mode & FALLOC_FL_KEEP_SIZE)) abort();  // It would change the length, which is not recorded.
    WATCHED(CALL_FALLOCATE, fd, real_fallocate(fd, mode, offset, length), op, (uint64_t)offset, (uint64_t)length);
}
int fallocate64(int fd, int mode, off_t offset, off_t length) { return fallocate(fd, mode, offset, length); }

// A call on paths that either happens whole or not at all.
#define WATCHED_PATH(call_bit, real, op, inode, length, path, other) \
    pthread_mutex_lock(&lock); \
    uint64_t start_ns = now(); \
    int result = refuse(next_action(call_bit)); \
    if (result == 0) result = (real); \
    if (result == 0) note(op, start_ns, inode, 0, length, path, other); \
    pthread_mutex_unlock(&lock); \
    return result

int truncate(const char *path, off_t length) {
    REAL(int, truncate, const char *, off_t);
    struct stat status;
    if (!is_inside(path) || stat(path, &status) != 0) return real_truncate(path, length);
    WATCHED_PATH(CALL_TRUNCATE, real_truncate(path, length), OP_TRUNCATE, status.st_ino, (uint64_t)length, NULL, NULL);
}
int truncate64(const char *path, off_t length) { return truncate(path, length); }

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    if (!is_inside(from) && !is_inside(to)) return real_rename(from, to);
    WATCHED_PATH(CALL_RENAME, real_rename(from, to), OP_RENAME, 0, 0, from, to);
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    struct stat status;
    if (!is_inside(path) || lstat(path, &status) != 0) return real_unlink(path);
    WATCHED_PATH(CALL_UNLINK, real_unlink(path), OP_UNLINK, 0, 0, path, NULL);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    if (!is_inside(path)) return real_mkdir(path, mode);
    WATCHED_PATH(CALL_MKDIR, real_mkdir(path, mode), OP_MKDIR, 0, 0, path, NULL);
}

int rmdir(const char *path) {
    REAL(int, rmdir, const char *);
    if (!is_inside(path)) return real_rmdir(path);
    WATCHED_PATH(CALL_UNLINK, real_rmdir(path), OP_RMDIR, 0, 0, path, NULL);
}

static int watched_open(const char *path, int flags, mode_t mode) {
    REAL(int, open, const char *, int, ...);
    pthread_mutex_lock(&lock);
    uint64_t start_ns = now();
    struct stat before, status;
    int existed = stat(path, &before) == 0;
    int fd = refuse(next_action(CALL_OPEN));
    if (fd == 0) fd = real_open(path, flags, mode);
    if (fd >= 0 && fd < MAX_FILES && fstat(fd, &status) == 0) {
        watched[fd] = status.st_ino;
        is_through[fd] = (flags & (O_SYNC | O_DSYNC)) != 0;
        if (!existed) note(OP_CREATE, start_ns, status.st_ino, 0, 0, path, NULL);
        else if (flags & O_TRUNC) note(OP_TRUNCATE, start_ns, status.st_ino, 0, 0, NULL, NULL);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

int open(const char *path, int flags, ...) {
    REAL(int, open, const char *, int, ...);
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? (mode_t)va_arg(list, unsigned) : 0;
    va_end(list);
    return is_inside(path) ? watched_open(path, flags, mode) : real_open(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? (mode_t)va_arg(list, unsigned) : 0;
    va_end(list);
    return open(path, flags, mode);
}

int close(int fd) {
    REAL(int, close, int);
    // Forgotten before the number can be another file's.
    if (inode_of(fd)) watched[fd] = 0;
    return real_close(fd);
}

static int64_t wall_offset(void) {
    return control ? __atomic_load_n(&control->wall_offset_seconds, __ATOMIC_RELAXED) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int result = real_clock_gettime(clock, t);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) t->tv_sec += wall_offset();
    return result;
}

time_t time(time_t *out) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *t = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}
