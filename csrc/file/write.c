/* Writes a model file, whole or not at all. */
#include "file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const pn_checkpoint nothing = {0}; /* besides the model */

/* Is there nothing that loading would refuse? */
static pn_status check_texts(const pn_net *net, const pn_checkpoint *more, char *err)
{
    if (strlen(net->spec) > MAX_TEXT)
        return fail(err, PN_ERR_ARGUMENT, "the network's text takes %zu bytes, a file takes %d", strlen(net->spec),
                    MAX_TEXT);
    if (net->n_notes > MAX_NOTES)
        return fail(err, PN_ERR_ARGUMENT, "%d notes are too many, a file takes %d", net->n_notes, MAX_NOTES);
    for (int i = 0; i < net->n_notes; i++) {
        const note *n = &net->notes[i];
        if (is_reserved(n->key))
            return fail(err, PN_ERR_ARGUMENT, "note %s: keys that begin with " TEXT_KEY " are reserved",
                        show(n->key).text);
        if (!utf8_valid(n->key) || !utf8_valid(n->value))
            return fail(err, PN_ERR_ARGUMENT, "note %s is not UTF-8 text", show(n->key).text);
    }
    if (more->text && !utf8_valid(more->text))
        return fail(err, PN_ERR_ARGUMENT, "the text of the checkpoint is not UTF-8");
    for (int i = 0; i < more->tensors; i++)
        if (!is_checkpoint_name(more->tensor[i].name))
            return fail(err, PN_ERR_ARGUMENT,
                        "tensor %s of a checkpoint; its name begins with a letter, then come "
                        "letters, digits, dots and _",
                        show(more->tensor[i].name).text);
    return PN_OK;
}

/* The entry of a tensor that begins at byte `at` of the data; returns where it ends. */
static uint64_t write_entry(FILE *to, const pn_tensor *t, uint64_t at)
{
    const uint64_t end = at + (uint64_t)t->size * sizeof(float);
    fprintf(to, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[", t->name);
    for (int d = 0; d < t->rank; d++)
        fprintf(to, d ? ",%" PRId64 : "%" PRId64, t->shape[d]);
    fprintf(to, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, end);
    return end;
}

/* The header and the 8 bytes before it, padded so that the data starts at a multiple of 8. Allocated. */
static pn_status make_header(pn_net *net, const pn_checkpoint *more, char **head, size_t *size, char *err)
{
    uint64_t at = 0;
    pn_status status = check_texts(net, more, err);
    if (status != PN_OK)
        return status;
    FILE *to = open_memstream(head, size);
    if (!to)
        return fail(err, PN_ERR_MEMORY, "no memory for its header");
    fprintf(to, "12345678{\"__metadata__\":{\"" TEXT_KEY "\":");
    json_write_string(to, net->spec);
    fprintf(to, ",\"" SEED_KEY "\":\"%" PRIu64 "\"", net->seed);
    if (net->updates)
        fprintf(to, ",\"" UPDATES_KEY "\":\"%" PRIu64 "\"", net->updates);
    if (more->text) {
        fputs(",\"" CHECKPOINT_KEY "\":", to);
        json_write_string(to, more->text);
    }
    for (int i = 0; i < net->n_notes; i++) {
        fputc(',', to);
        json_write_string(to, net->notes[i].key);
        fputc(':', to);
        json_write_string(to, net->notes[i].value);
    }
    fputc('}', to);
    for (int i = 0; i < net->n_tensors && status == PN_OK; i++) {
        pn_tensor t;
        if ((status = pn_net_tensor(net, i, &t)) == PN_OK)
            at = write_entry(to, &t, at);
    }
    for (int i = 0; i < more->tensors; i++)
        at = write_entry(to, &more->tensor[i], at);
    fputc('}', to);
    for (long blanks = -ftell(to) & 7; blanks > 0; blanks--)
        fputc(' ', to);
    bool bad = ferror(to) != 0;
    if (fclose(to) != 0 || bad)
        return fail(err, PN_ERR_MEMORY, "no memory for its header");
    if (*size - 8 > MAX_HEADER)
        return fail(err, PN_ERR_ARGUMENT, "its notes make a header of %zu bytes, the format takes %d", *size - 8,
                    MAX_HEADER);
    for (int i = 0; i < 8; i++)
        (*head)[i] = (char)((uint64_t)(*size - 8) >> 8 * i);
    return status;
}

/* Writes all of it, in as many pieces as the system likes. */
static pn_status write_all(int fd, const void *from, size_t size, char *err)
{
    for (size_t done = 0; done < size;) {
        size_t want = size - done < MAX_CHUNK ? size - done : MAX_CHUNK;
        ssize_t put = write(fd, (const char *)from + done, want);
        if (put < 0 && errno != EINTR)
            return io_fail(err, errno, NULL);
        if (put > 0)
            done += (size_t)put;
    }
    return PN_OK;
}

/* The file that path means: where a link leads, since a link is to stay one. *target is allocated. */
static pn_status resolve(const char *path, char **target, char *err)
{
    struct stat st;
    if ((*target = realpath(path, NULL)))
        return stat(*target, &st) == 0 ? check_regular(&st, err) : io_fail(err, errno, NULL);
    if (errno != ENOENT)
        return io_fail(err, errno, NULL);
    if (lstat(path, &st) == 0)
        return io_fail(err, ENOENT, "it is a link to a file that does not exist");
    if (!(*target = strdup(path)))
        return fail(err, PN_ERR_MEMORY, "no memory for its path");
    return PN_OK;
}

/* A file of that mode that nobody else has, in this folder; its name goes to temp. */
static int open_temporary(int folder, char temp[64], mode_t mode)
{
    int fd = -1;
    for (int i = 0; fd < 0 && i < 1000; i++) {
        snprintf(temp, 64, ".pynet-%ld-%d.tmp", (long)getpid(), i);
        fd = openat(folder, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    return fd;
}

/* What a file is made of. */
typedef struct {
    const char *head;
    size_t head_size;
    const pn_net *net;
    const pn_checkpoint *more;
} content;

/* Writes it all, and waits for the disk. Closes fd. */
static pn_status fill(int fd, const content *c, char *err)
{
    pn_status status = write_all(fd, c->head, c->head_size, err);
    if (status == PN_OK)
        status = write_all(fd, c->net->parameters, (c->net->n_parameters + c->net->n_running) * sizeof(float), err);
    for (int i = 0; i < c->more->tensors && status == PN_OK; i++)
        status = write_all(fd, c->more->tensor[i].data, (size_t)c->more->tensor[i].size * sizeof(float), err);
    if (status == PN_OK && fsync(fd) != 0)
        status = io_fail(err, errno, NULL);
    int code = errno;
    if (close(fd) != 0 && status == PN_OK)
        return io_fail(err, errno, NULL); /* NFS may refuse as late as here */
    errno = code;
    return status;
}

/* Fills a temporary file and renames it to `name`: a crash leaves the old file or the new, never half of one. */
static pn_status replace(int folder, const char *name, const content *c, char *err)
{
    char temp[64];
    struct stat old;
    bool exists = fstatat(folder, name, &old, AT_SYMLINK_NOFOLLOW) == 0;
    /* a rename would replace a write-protected file as well: it asks the folder's permission, not the file's */
    if (exists && faccessat(folder, name, W_OK, AT_EACCESS) != 0)
        return io_fail(err, errno, NULL);
    int fd = open_temporary(folder, temp, exists ? old.st_mode & 0777 : 0666);
    if (fd < 0)
        return io_fail(err, errno, NULL);
    if (exists)
        fchmod(fd, old.st_mode & 0777); /* what the umask took; not every file system has modes */
    pn_status status = fill(fd, c, err);
    if (status == PN_OK && renameat(folder, temp, folder, name) != 0)
        status = io_fail(err, errno, NULL);
    if (status == PN_OK) {
        fsync(folder); /* not every file system can; the name then reaches the disk a little later */
    } else {
        int code = errno;
        unlinkat(folder, temp, 0);
        errno = code;
    }
    return status;
}

static pn_status write_model(pn_net *net, const pn_checkpoint *more, const char *path, char *err)
{
    char *head = NULL, *target = NULL;
    size_t size = 0;
    int folder = -1;
    pn_status status;
    if ((status = make_header(net, more, &head, &size, err)) != PN_OK)
        goto done;
    if ((status = resolve(path, &target, err)) != PN_OK)
        goto done;
    char *slash = strrchr(target, '/'), *name = slash ? slash + 1 : target;
    const char *parent = !slash ? "." : slash == target ? "/" : target;
    if (slash)
        *slash = '\0';
    folder = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const content c = {head, size, net, more};
    status = folder < 0 ? io_fail(err, errno, NULL) : replace(folder, name, &c, err);
done:;
    int code = errno; /* closing and freeing may change it */
    if (folder >= 0)
        close(folder);
    free(target);
    free(head);
    errno = code;
    return status;
}

pn_status pn_net_save_checkpoint(pn_net *net, const pn_checkpoint *more, const char *path)
{
    char why[PN_ERRLEN] = "";
    net->error[0] = '\0';
    pn_status status = write_model(net, more, path, why);
    int code = errno;
    if (status != PN_OK)
        fail(net->error, status, "cannot write %s: %s", show(path).text, why);
    errno = code;
    return status;
}

pn_status pn_net_save(pn_net *net, const char *path)
{
    return pn_net_save_checkpoint(net, &nothing, path);
}
