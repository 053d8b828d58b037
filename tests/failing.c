#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Loaded before all other libraries (LD_PRELOAD), it spoils calls on some files.
   FAIL_CALLS: names of calls between commas. FAIL_PATH: a part of the file's path.
   FAIL_AT: which call fails, from 0, or -1 for all. FAIL_ERRNO: with what; 0 is a disk that says
   yes and does nothing. FAIL_LOG: a file that gets a line for each such call. */
static long seen = 0;

static int spoiled(const char *call, const char *path) {
    const char *calls = getenv("FAIL_CALLS"), *part = getenv("FAIL_PATH");
    const char *at = getenv("FAIL_AT"), *log = getenv("FAIL_LOG");
    char name[64];
    if (!calls || !part || !strstr(path, part)) return 0;
    snprintf(name, sizeof name, ",%s,", call);
    if (!strstr(calls, name)) return 0;
    long number = seen++;
    if (log) {
        FILE *file = fopen(log, "a");
        if (file) {
            fprintf(file, "%s %s\n", call, path);
            fclose(file);
        }
    }
    return at && (atol(at) == -1 || atol(at) == number);
}

static int spoiled_at(const char *call, int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return spoiled(call, path);
}

static int number(void) { const char *e = getenv("FAIL_ERRNO"); return e ? atoi(e) : EIO; }

#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define SPOIL(call, fd, fine) \
    if (spoiled_at(call, fd)) { if (!number()) return fine; errno = number(); return -1; }

ssize_t write(int fd, const void *b, size_t n)
{
    REAL(write);
    SPOIL("write", fd, n)
    return real(fd, b, n);
}

ssize_t pwrite(int fd, const void *b, size_t n, off_t o)
{
    REAL(pwrite);
    SPOIL("pwrite", fd, n)
    return real(fd, b, n, o);
}

ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o)
{
    REAL(pwrite64);
    SPOIL("pwrite", fd, n)
    return real(fd, b, n, o);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
    REAL(writev);
    SPOIL("write", fd, -1)
    return real(fd, v, n);
}

int fsync(int fd)
{
    REAL(fsync);
    SPOIL("fsync", fd, 0)
    return real(fd);
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    SPOIL("fsync", fd, 0)
    return real(fd);
}

int ftruncate(int fd, off_t n)
{
    REAL(ftruncate);
    SPOIL("ftruncate", fd, 0)
    return real(fd, n);
}

int ftruncate64(int fd, off64_t n)
{
    REAL(ftruncate64);
    SPOIL("ftruncate", fd, 0)
    return real(fd, n);
}

int close(int fd)
{
    REAL(close);
    int mode = fcntl(fd, F_GETFL);  /* what was only read has nothing to lose */
    if (mode != -1 && (mode & O_ACCMODE) != O_RDONLY && spoiled_at("close", fd)) {
        real(fd);
        if (!number()) return 0;
        errno = number();
        return -1;
    }
    return real(fd);
}

int flock(int fd, int op)
{
    REAL(flock);
    SPOIL("flock", fd, 0)
    return real(fd, op);
}

int posix_fallocate(int fd, off_t o, off_t n)
{
    REAL(posix_fallocate);
    if (spoiled_at("posix_fallocate", fd)) return number();
    return real(fd, o, n);
}

int posix_fallocate64(int fd, off64_t o, off64_t n)
{
    REAL(posix_fallocate64);
    if (spoiled_at("posix_fallocate", fd)) return number();
    return real(fd, o, n);
}

int rename(const char *a, const char *b)
{
    REAL(rename);
    if (spoiled("rename", b)) {
        errno = number();
        return -1;
    }
    return real(a, b);
}

int chmod(const char *p, mode_t m)
{
    REAL(chmod);
    if (spoiled("chmod", p)) {
        errno = number();
        return -1;
    }
    return real(p, m);
}

int fchmod(int fd, mode_t m)
{
    REAL(fchmod);
    SPOIL("chmod", fd, 0)
    return real(fd, m);
}

int fchmodat(int d, const char *p, mode_t m, int f)
{
    REAL(fchmodat);
    if (spoiled("chmod", p)) {
        errno = number();
        return -1;
    }
    return real(d, p, m, f);
}

