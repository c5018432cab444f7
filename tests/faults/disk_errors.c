/* A disk that fails: the n-th write, truncation, allocation, fsync, rename, link or unlink below one folder
   answers EIO (or ENOSPC), or writes half.

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

static int below_at(int folder_fd, const char *path) {
    return path[0] == '/' ? strncmp(path, folder, folder_bytes) == 0 : folder_fd != AT_FDCWD && below(folder_fd);
}

/* 0: go through; 1: fail with errno set; 2: half of it */
static int hit(int ours, const char *name) {
    if (!ours) return 0;
    long number = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST);
    if (number < 1 << 16) snprintf(names[number], sizeof names[0], "%s", name);
    if (how == HALF) return number == strike_at ? 2 : 0;
    int lasting = how == FROM_THEN_ON || how == FULL;
    int fails = number == strike_at || (lasting && strike_at && number > strike_at);
    if (fails) errno = how == FULL ? ENOSPC : EIO;
    return fails;
}

static int struck(int fd, const char *name) {
    if (!folder_bytes) return 0;
    int before = errno;
    int ours = below(fd);
    errno = before;
    return hit(ours, name);
}

static int struck_at(int folder_fd, const char *path, const char *name) {
    if (!folder_bytes) return 0;
    int before = errno;
    int ours = below_at(folder_fd, path);
    errno = before;
    return hit(ours, name);
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    int failed = struck(fd, "write");
    if (failed == 1) return -1;
    return real(fd, data, failed == 2 && size > 1 ? size / 2 : size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(pwrite);
    int failed = struck(fd, "pwrite");
    if (failed == 1) return -1;
    return real(fd, data, failed == 2 && size > 1 ? size / 2 : size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    int failed = struck(fd, "pwrite");
    if (failed == 1) return -1;
    return real(fd, data, failed == 2 && size > 1 ? size / 2 : size, at);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    REAL(writev);
    int failed = struck(fd, "writev");
    if (failed == 1) return -1;
    return real(fd, pieces, failed == 2 && count > 1 ? count / 2 : count);
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

int rename(const char *old, const char *new) {
    REAL(rename);
    return struck_at(AT_FDCWD, new, "rename") == 1 ? -1 : real(old, new);
}

int renameat(int old_fd, const char *old, int new_fd, const char *new) {
    REAL(renameat);
    return struck_at(new_fd, new, "rename") == 1 ? -1 : real(old_fd, old, new_fd, new);
}

int link(const char *old, const char *new) {
    REAL(link);
    return struck_at(AT_FDCWD, new, "link") == 1 ? -1 : real(old, new);
}

int linkat(int old_fd, const char *old, int new_fd, const char *new, int flags) {
    REAL(linkat);
    return struck_at(new_fd, new, "link") == 1 ? -1 : real(old_fd, old, new_fd, new, flags);
}

int unlink(const char *path) {
    REAL(unlink);
    return struck_at(AT_FDCWD, path, "unlink") == 1 ? -1 : real(path);
}

int unlinkat(int folder_fd, const char *path, int flags) {
    REAL(unlinkat);
    return struck_at(folder_fd, path, "unlink") == 1 ? -1 : real(folder_fd, path, flags);
}
