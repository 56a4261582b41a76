/* Model files on disk: reads regular files only; writes a file completely or not at all. */
#define _GNU_SOURCE /* O_CLOEXEC, openat() and others, beyond C11 */
#include "file/file.h"

#ifndef PN_NO_FILES

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_CHUNK (1 << 30) /* bytes of one read or write: macOS refuses more than INT_MAX */

/* Sets errno to code, from which Python chooses the subclass of OSError. The message is `why`, or if NULL
   strerror's. */
static pn_status io_fail(char *err, int code, const char *why)
{
    fail(err, PN_ERR_IO, "%s", why ? why : strerror(code));
    errno = code;
    return PN_ERR_IO;
}

/* Only regular files are read or replaced: reading a pipe can block, and renaming must not replace a device. */
static pn_status check_regular(const struct stat *st, char *err)
{
    if (S_ISREG(st->st_mode))
        return PN_OK;
    if (S_ISDIR(st->st_mode))
        return io_fail(err, EISDIR, "it is a folder");
    return io_fail(err, EINVAL, "it is not a regular file");
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static pn_status read_file(const source *from, void *to, size_t size, uint64_t offset, char *err)
{
    for (size_t done = 0; done < size;) {
        size_t want = size - done < MAX_CHUNK ? size - done : MAX_CHUNK;
        ssize_t got = pread(from->fd, (char *)to + done, want, (off_t)(offset + done));
        if (got < 0 && errno != EINTR)
            return io_fail(err, errno, NULL);
        if (got == 0)
            return fail(err, PN_ERR_FORMAT, "it became shorter while it was read");
        if (got > 0)
            done += (size_t)got;
    }
    return PN_OK;
}

static pn_status read_path(pn_net **net, pn_checkpoint *more, const char *path, char *err)
{
    source from = {.read = read_file};
    struct stat st;
    from.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* NONBLOCK: opening a pipe must not wait */
    if (from.fd < 0)
        return io_fail(err, errno, NULL);
    pn_status status = fstat(from.fd, &st) == 0 ? check_regular(&st, err) : io_fail(err, errno, NULL);
    if (status == PN_OK) {
        from.size = (uint64_t)st.st_size;
        status = read_model(net, more, &from, err);
    }
    int code = errno; /* close() may change it */
    close(from.fd);
    errno = code;
    return status;
}

static pn_status load_file(pn_net **net, pn_checkpoint *more, const char *path, char *err)
{
    char why[PN_ERRLEN] = "";
    if (!net)
        return fail(err, PN_ERR_ARGUMENT, "the pointer for the network is NULL");
    *net = NULL;
    if (!path)
        return fail(err, PN_ERR_ARGUMENT, "the path is NULL");
    const pn_status status = read_path(net, more, path, why);
    return status ? fail(err, status, "cannot read %s: %s", show(path).text, why) : PN_OK;
}

pn_status pn_net_load(pn_net **net, const char *path, char err[PN_ERRLEN])
{
    return load_file(net, NULL, path, err);
}

pn_status pn_net_load_checkpoint(pn_net **net, pn_checkpoint *more, const char *path, char err[PN_ERRLEN])
{
    if (!more) {
        if (net)
            *net = NULL;
        return fail(err, PN_ERR_ARGUMENT, "the checkpoint to fill is NULL");
    }
    *more = (pn_checkpoint){0};
    return load_file(net, more, path, err);
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

/* write() until all bytes are written. */
static pn_status write_file(sink *to, const void *from, size_t size, char *err)
{
    for (size_t done = 0; done < size;) {
        size_t want = size - done < MAX_CHUNK ? size - done : MAX_CHUNK;
        ssize_t put = write(to->fd, (const char *)from + done, want);
        if (put < 0 && errno != EINTR)
            return io_fail(err, errno, NULL);
        if (put > 0)
            done += (size_t)put;
    }
    return PN_OK;
}

/* The file to write for path: for a symbolic link its target, so that the link is not replaced. *target must be
   freed. */
static pn_status resolve(const char *path, char **target, char *err)
{
    struct stat st;
    if (!(*target = memory_take(PATH_MAX)))
        return fail(err, PN_ERR_MEMORY, "no memory for its path");
    if (realpath(path, *target))
        return stat(*target, &st) == 0 ? check_regular(&st, err) : io_fail(err, errno, NULL);
    if (errno != ENOENT)
        return io_fail(err, errno, NULL);
    if (lstat(path, &st) == 0)
        return io_fail(err, ENOENT, "it is a link to a file that does not exist");
    if (strlen(path) >= PATH_MAX)
        return io_fail(err, ENAMETOOLONG, NULL);
    strcpy(*target, path);
    return PN_OK;
}

/* Creates a new file in the folder; temp is its name. The name contains the time besides the process number: in a
   container the next process may have the number of one that was killed and left its file. */
static int open_temporary(int folder, char temp[64], mode_t mode)
{
    int fd = -1;
    for (int i = 0; fd < 0 && i < 1000; i++) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(temp, 64, ".pynet-%ld-%llx.tmp", (long)getpid(),
                 (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec);
        fd = openat(folder, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    return fd;
}

/* What to write. */
typedef struct {
    const pn_net *net;
    const pn_checkpoint *more;
} content;

/* Writes it all, syncs and closes fd. */
static pn_status fill(int fd, const content *c, char *err)
{
    sink to = {.write = write_file, .fd = fd};
    pn_status status = write_model(c->net, c->more, &to, err);
    if (status == PN_OK && fsync(fd) != 0)
        status = io_fail(err, errno, NULL);
    int code = errno;
    if (close(fd) != 0 && status == PN_OK)
        return io_fail(err, errno, NULL); /* NFS may report a write error only here */
    errno = code;
    return status;
}

/* Writes a temporary file and renames it to `name`: after a crash `name` is the old or the new file, never part of
   one. */
static pn_status replace(int folder, const char *name, const content *c, char *err)
{
    char temp[64];
    struct stat old;
    bool exists = fstatat(folder, name, &old, AT_SYMLINK_NOFOLLOW) == 0;
    /* rename needs permission for the folder only: it would replace a write-protected file */
    if (exists && faccessat(folder, name, W_OK, AT_EACCESS) != 0)
        return io_fail(err, errno, NULL);
    int fd = open_temporary(folder, temp, exists ? old.st_mode & 0777 : 0666);
    if (fd < 0)
        return io_fail(err, errno, NULL);
    if (exists)
        fchmod(fd, old.st_mode & 0777); /* the umask may have cleared bits. May fail: not every file system has modes */
    pn_status status = fill(fd, c, err);
    if (status == PN_OK && renameat(folder, temp, folder, name) != 0)
        status = io_fail(err, errno, NULL);
    if (status == PN_OK) {
        fsync(folder); /* may fail: not every file system can, and the rename is then on disk a little later */
    } else {
        int code = errno;
        unlinkat(folder, temp, 0);
        errno = code;
    }
    return status;
}

static pn_status write_path(const content *c, const char *path, char *err)
{
    char *target = NULL;
    int folder = -1;
    pn_status status = resolve(path, &target, err);
    if (status == PN_OK) {
        char *slash = strrchr(target, '/'), *name = slash ? slash + 1 : target;
        const char *parent = !slash ? "." : slash == target ? "/" : target;
        if (slash)
            *slash = '\0';
        folder = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        status = folder < 0 ? io_fail(err, errno, NULL) : replace(folder, name, c, err);
    }
    int code = errno;
    if (folder >= 0)
        close(folder);
    memory_free(target);
    errno = code;
    return status;
}

static pn_status save_file(pn_net *net, const pn_checkpoint *more, const char *path)
{
    char why[PN_ERRLEN] = "";
    if (!path)
        return fail(net->error, PN_ERR_ARGUMENT, "the path is NULL");
    const content c = {net, more};
    const pn_status status = write_path(&c, path, why);
    return status ? fail(net->error, status, "cannot write %s: %s", show(path).text, why) : PN_OK;
}

pn_status pn_net_save(pn_net *net, const char *path)
{
    return net_begin(net) ? save_file(net, NULL, path) : PN_ERR_ARGUMENT;
}

pn_status pn_net_save_checkpoint(pn_net *net, const pn_checkpoint *more, const char *path)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    const pn_status status = check_pointer(net, more, "the checkpoint");
    return status ? status : save_file(net, more, path);
}

#endif
