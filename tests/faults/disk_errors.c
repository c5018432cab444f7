/* A disk that fails: the n-th write, truncation, allocation or fsync below one folder answers EIO
   (or ENOSPC), or writes half.

   Built and preloaded by io_errors.py, never part of the package. `faults_arm` is called from Python by ctypes;
   until then every call goes through. Calls on other files (pipes, the terminal) are never touched.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum how { ONCE = 1, FROM_THEN_ON = 2, HALF = 3, FULL = 4 };

static char folder[PATH_MAX];
static size_t folder_bytes;
static long strike_at, seen;
static int how;
static char names[1 << 16][8];

void faults_arm(const char *path, long number, int mode) {
    snprintf(folder, sizeof folder, "%s", path);
    folder_bytes = strlen(folder);
    seen = 0;
    strike_at = number;
    how = mode;
}

void faults_disarm(void) { folder_bytes = 0; }

long faults_seen(void) { return seen; }

const char *faults_name(long number) { return number > 0 && number < 1 << 16 ? names[number] : ""; }

static int below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    return length > (ssize_t)folder_bytes && memcmp(path, folder, folder_bytes) == 0;
}

/* 0: go through; 1: fail with errno set; 2: half of it */
static int struck(int fd, const char *name) {
    if (!folder_bytes) return 0;
    int before = errno;
    int ours = below(fd);
    errno = before;
    if (!ours) return 0;
    long number = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST);
    if (number < 1 << 16) snprintf(names[number], sizeof names[0], "%s", name);
    if (how == HALF) return number == strike_at ? 2 : 0;
    int lasting = how == FROM_THEN_ON || how == FULL;
    int hit = number == strike_at || (lasting && strike_at && number > strike_at);
    if (hit) errno = how == FULL ? ENOSPC : EIO;
    return hit;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    int hit = struck(fd, "write");
    if (hit == 1) return -1;
    return real(fd, data, hit == 2 && size > 1 ? size / 2 : size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(pwrite);
    int hit = struck(fd, "pwrite");
    if (hit == 1) return -1;
    return real(fd, data, hit == 2 && size > 1 ? size / 2 : size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    int hit = struck(fd, "pwrite");
    if (hit == 1) return -1;
    return real(fd, data, hit == 2 && size > 1 ? size / 2 : size, at);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    REAL(writev);
    int hit = struck(fd, "writev");
    if (hit == 1) return -1;
    return real(fd, pieces, hit == 2 && count > 1 ? count / 2 : count);
}

int fsync(int fd) {
    REAL(fsync);
    if (struck(fd, "fsync") == 1) return -1;
    return real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    if (struck(fd, "fsync") == 1) return -1;
    return real(fd);
}

int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    if (struck(fd, "trunc") == 1) return -1;
    return real(fd, size);
}

int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    if (struck(fd, "trunc") == 1) return -1;
    return real(fd, size);
}

int posix_fallocate(int fd, off_t at, off_t size) {
    REAL(posix_fallocate);
    return struck(fd, "alloc") == 1 ? errno : real(fd, at, size);
}

int posix_fallocate64(int fd, off64_t at, off64_t size) {
    REAL(posix_fallocate64);
    return struck(fd, "alloc") == 1 ? errno : real(fd, at, size);
}
