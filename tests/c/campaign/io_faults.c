/* Lets system calls on files fail. Loaded before the C library (LD_PRELOAD), it counts the calls on one folder and on
 * files in it, and makes the n-th fail with an error number, or read or write fewer bytes. A close that fails closes the
 * file all the same, as on Linux.
 *
 *     io_faults_begin(folder, error, at, rest)   error 0: a short read or write; rest: all later calls fail, too
 *     io_faults_end(log, size)                   the number of calls; log: their names, a blank after each
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MOST_FDS = 4096, LOG = 1 << 16 };

void io_faults_begin(const char *folder, int error, long at, int rest);
long io_faults_end(char *log, size_t size);

static struct {
    atomic_bool on;
    char folder[4096];
    int error, rest;
    long at, calls;
    char log[LOG];
    bool inside[MOST_FDS]; /* by file descriptor: is the file in the folder? */
} faults;

void io_faults_begin(const char *folder, int error, long at, int rest)
{
    snprintf(faults.folder, sizeof faults.folder, "%s", folder);
    faults.error = error;
    faults.at = at;
    faults.rest = rest;
    faults.calls = 0;
    faults.log[0] = '\0';
    memset(faults.inside, 0, sizeof faults.inside);
    faults.on = true;
}

long io_faults_end(char *log, size_t size)
{
    faults.on = false;
    snprintf(log, size, "%s", faults.log);
    return faults.calls;
}

static bool is_inside(int fd)
{
    return faults.on && fd >= 0 && fd < MOST_FDS && faults.inside[fd];
}

static bool is_path_inside(int folder, const char *path)
{
    const size_t n = strlen(faults.folder);
    if (!faults.on || !path)
        return false;
    return path[0] == '/' ? strncmp(path, faults.folder, n) == 0 && (path[n] == '/' || path[n] == '\0')
                          : is_inside(folder);
}

/* Counts a call; true: it must fail. */
static bool spoil(const char *name, int fd)
{
    struct stat st;
    const bool folder = fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    const size_t used = strlen(faults.log);
    snprintf(faults.log + used, LOG - used, "%s%s ", name, folder ? "(folder)" : "");
    const long n = ++faults.calls;
    return n == faults.at || (faults.rest && faults.at && n > faults.at);
}

/* Must this call, which is no read or write, fail? */
static bool fails(const char *name, int fd)
{
    const bool now = spoil(name, fd) && faults.error;
    errno = now ? faults.error : errno;
    return now;
}

/* The same for a read or write of `size` bytes; a short one transfers half of them. */
static bool fails_or_cuts(const char *name, int fd, size_t *size)
{
    if (!spoil(name, fd))
        return false;
    errno = faults.error ? faults.error : errno;
    *size = faults.error ? *size : (*size + 1) / 2;
    return faults.error != 0;
}

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static int remember(int fd, bool inside)
{
    if (fd >= 0 && fd < MOST_FDS)
        faults.inside[fd] = inside;
    return fd;
}

/* open and variants: there is a mode if the call may create a file. */
#define OPEN(name, arguments, folder, ...)                \
    int name arguments                                    \
    {                                                     \
        mode_t mode = 0;                                  \
        va_list more;                                     \
        va_start(more, flags);                            \
        if (flags & (O_CREAT | __O_TMPFILE))              \
            mode = (mode_t)va_arg(more, int);             \
        va_end(more);                                     \
        const bool inside = is_path_inside(folder, path); \
        if (inside && fails("open", -1))                  \
            return -1;                                    \
        return remember(REAL(name)(__VA_ARGS__), inside); \
    }
OPEN(open, (const char *path, int flags, ...), -1, path, flags, mode)
OPEN(open64, (const char *path, int flags, ...), -1, path, flags, mode)
OPEN(openat, (int folder, const char *path, int flags, ...), folder, folder, path, flags, mode)
OPEN(openat64, (int folder, const char *path, int flags, ...), folder, folder, path, flags, mode)

ssize_t read(int fd, void *to, size_t size)
{
    return is_inside(fd) && fails_or_cuts("read", fd, &size) ? -1 : REAL(read)(fd, to, size);
}

ssize_t pread(int fd, void *to, size_t size, off_t at)
{
    return is_inside(fd) && fails_or_cuts("read", fd, &size) ? -1 : REAL(pread)(fd, to, size, at);
}

ssize_t pread64(int fd, void *to, size_t size, off64_t at)
{
    return is_inside(fd) && fails_or_cuts("read", fd, &size) ? -1 : REAL(pread64)(fd, to, size, at);
}

ssize_t write(int fd, const void *from, size_t size)
{
    return is_inside(fd) && fails_or_cuts("write", fd, &size) ? -1 : REAL(write)(fd, from, size);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t at)
{
    return is_inside(fd) && fails_or_cuts("write", fd, &size) ? -1 : REAL(pwrite)(fd, from, size, at);
}

ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at)
{
    return is_inside(fd) && fails_or_cuts("write", fd, &size) ? -1 : REAL(pwrite64)(fd, from, size, at);
}

ssize_t writev(int fd, const struct iovec *from, int count)
{
    return is_inside(fd) && fails("write", fd) ? -1 : REAL(writev)(fd, from, count);
}

int fsync(int fd)
{
    return is_inside(fd) && fails("fsync", fd) ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    return is_inside(fd) && fails("fsync", fd) ? -1 : REAL(fdatasync)(fd);
}

int ftruncate(int fd, off_t size)
{
    return is_inside(fd) && fails("truncate", fd) ? -1 : REAL(ftruncate)(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return is_inside(fd) && fails("truncate", fd) ? -1 : REAL(ftruncate64)(fd, size);
}

int close(int fd)
{
    const bool failed = is_inside(fd) && fails("close", fd);
    const int code = errno, status = REAL(close)(fd);
    remember(fd, false);
    errno = failed ? code : errno;
    return failed ? -1 : status;
}

int rename(const char *old, const char *new)
{
    return is_path_inside(-1, new) && fails("rename", -1) ? -1 : REAL(rename)(old, new);
}

int renameat(int from, const char *old, int to, const char *new)
{
    return is_path_inside(to, new) && fails("rename", -1) ? -1 : REAL(renameat)(from, old, to, new);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    return is_path_inside(to, new) && fails("rename", -1) ? -1 : REAL(renameat2)(from, old, to, new, flags);
}

int link(const char *old, const char *new)
{
    return is_path_inside(-1, new) && fails("link", -1) ? -1 : REAL(link)(old, new);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    return is_path_inside(to, new) && fails("link", -1) ? -1 : REAL(linkat)(from, old, to, new, flags);
}
