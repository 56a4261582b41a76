/* The model file is safetensors: 8 bytes of header length, a JSON header, then the parameters as they lie in memory.
 *
 * {"__metadata__": {"pynet": the network's text, "pynet.seed": "0", notes ...},
 *  "0.W": {"dtype": "F32", "shape": [784, 128], "data_offsets": [0, 401408]}, ...}
 */
#include "internal.h"
#include "json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "file.c reads and writes floats as they lie in memory; safetensors wants them little-endian"
#endif

#define MAX_HEADER 100000000 /* bytes; the limit of the official reader */
#define MAX_TEXT (1 << 16)   /* bytes of a network's text: each word becomes a layer in memory */
#define MAX_CHUNK (1 << 30)  /* bytes of one read or write: macOS refuses more than INT_MAX */

#define MAX_NOTES (MAX_PAIRS - 3) /* three of the pairs are the file's own: */
#define TEXT_KEY "pynet"
#define SEED_KEY "pynet.seed"
#define UPDATES_KEY "pynet.updates"

/* ---- messages ----------------------------------------------------------------------------------------------------- */

/* errno = code, which Python turns into the kind of OSError; the message is strerror's unless why is given. */
static pn_status io_fail(char *err, int code, const char *why)
{
    fail(err, PN_ERR_IO, "%s", why ? why : strerror(code));
    errno = code;
    return PN_ERR_IO;
}

/* Only a regular file is read or replaced: a device cannot be renamed over, a pipe can hang. */
static pn_status check_regular(const struct stat *st, char *err)
{
    if (S_ISREG(st->st_mode))
        return PN_OK;
    if (S_ISDIR(st->st_mode))
        return io_fail(err, EISDIR, "it is a folder");
    return io_fail(err, EINVAL, "it is not a regular file");
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

static int by_offset(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end == y->end ? 0 : x->end < y->end ? -1 : 1;
}

/* The tensors lie one after another without holes and fill all `size` bytes of data; then sorts them by name. */
static pn_status check_layout(entry *e, size_t n, uint64_t size, char *err)
{
    uint64_t at = 0;
    if (n > 1)
        qsort(e, n, sizeof *e, by_offset);
    for (size_t i = 0; i < n; at = e[i++].end)
        if (e[i].begin != at)
            return fail(err, PN_ERR_FORMAT, "tensor %s begins at byte %" PRIu64 " of the data, %s at %" PRIu64,
                        show(e[i].name).text, e[i].begin, e[i].begin > at ? "behind a hole" : "inside one that ends",
                        at);
    if (at != size)
        return fail(err, PN_ERR_FORMAT, "its tensors take %" PRIu64 " bytes, but %" PRIu64 " follow the header%s", at,
                    size, size < at ? ": it was cut short" : "");
    if (n > 1)
        qsort(e, n, sizeof *e, by_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(e[i - 1].name, e[i].name) == 0)
            return fail(err, PN_ERR_FORMAT, "tensor %s is there twice", show(e[i].name).text);
    return PN_OK;
}

/* Reads exactly `size` bytes at this offset. */
static pn_status read_at(int fd, void *to, size_t size, uint64_t offset, char *err)
{
    for (size_t done = 0; done < size;) {
        size_t want = size - done < MAX_CHUNK ? size - done : MAX_CHUNK;
        ssize_t got = pread(fd, (char *)to + done, want, (off_t)(offset + done));
        if (got < 0 && errno != EINTR)
            return io_fail(err, errno, NULL);
        if (got == 0)
            return fail(err, PN_ERR_FORMAT, "it became shorter while it was read");
        if (got > 0)
            done += (size_t)got;
    }
    return PN_OK;
}

static pn_status read_header(header *h, int fd, char *err)
{
    struct stat st;
    unsigned char bytes[8];
    uint64_t size = 0;
    pn_status status;
    if (fstat(fd, &st) != 0)
        return io_fail(err, errno, NULL);
    if ((status = check_regular(&st, err)) != PN_OK)
        return status;
    if (st.st_size < 8)
        return fail(err, PN_ERR_FORMAT, "%d bytes are too few for a safetensors file", (int)st.st_size);
    if ((status = read_at(fd, bytes, sizeof bytes, 0, err)) != PN_OK)
        return status;
    for (int i = 7; i >= 0; i--)
        size = size << 8 | bytes[i];
    if (size > MAX_HEADER || size > (uint64_t)st.st_size - 8)
        return fail(err, PN_ERR_FORMAT,
                    "its header claims %" PRIu64 " bytes; at most %d are allowed and %" PRId64
                    " are there: this is no safetensors file, or it was cut short",
                    size, MAX_HEADER, (int64_t)st.st_size - 8);
    h->size = (size_t)size;
    if (!(h->text = malloc(h->size + 1)))
        return fail(err, PN_ERR_MEMORY, "no memory for its header");
    if ((status = read_at(fd, h->text, h->size, 8, err)) != PN_OK)
        return status;
    h->text[h->size] = '\0';
    if ((status = header_parse(h, err)) != PN_OK)
        return status;
    const char *text = header_note(h, TEXT_KEY);
    if (!text)
        return fail(err, PN_ERR_FORMAT,
                    "it is a safetensors file but holds no pynet network (key \"" TEXT_KEY "\" in __metadata__)");
    if (strlen(text) > MAX_TEXT)
        return fail(err, PN_ERR_FORMAT, "the text of its network takes %zu bytes, at most %d are allowed", strlen(text),
                    MAX_TEXT);
    return check_layout(h->entries, h->n_entries, (uint64_t)st.st_size - 8 - h->size, err);
}

/* "(784, 128)" */
static shown show_dims(const uint64_t *dim, int rank)
{
    shown s = {"("};
    size_t at = 1;
    for (int i = 0; i < rank && i < MAX_DIMS && at < SHOWN; i++)
        at += (size_t)snprintf(s.text + at, SHOWN - at, i ? ", %" PRIu64 : "%" PRIu64, dim[i]);
    if (at < SHOWN)
        snprintf(s.text + at, SHOWN - at, rank > MAX_DIMS ? ", ...)" : rank == 1 ? ",)" : ")");
    return s;
}

/* Is entry e what tensor t needs? */
static pn_status check_entry(const entry *e, const pn_tensor *t, char *err)
{
    uint64_t dim[PN_MAXRANK];
    bool same = e->rank == t->rank;
    for (int i = 0; i < t->rank; i++)
        dim[i] = (uint64_t)t->shape[i];
    for (int i = 0; i < t->rank; i++)
        same = same && e->dim[i] == dim[i];
    if (strcmp(e->dtype, "F32") != 0)
        return fail(err, PN_ERR_FORMAT, "tensor %s has dtype %s, its network takes F32", t->name, show(e->dtype).text);
    if (!same)
        return fail(err, PN_ERR_FORMAT, "tensor %s has shape %s, its network takes %s", t->name,
                    show_dims(e->dim, e->rank).text, show_dims(dim, t->rank).text);
    if (e->end - e->begin != (uint64_t)t->size * sizeof(float))
        return fail(err, PN_ERR_FORMAT, "tensor %s of shape %s takes %" PRIu64 " bytes, not %" PRIu64, t->name,
                    show_dims(dim, t->rank).text, (uint64_t)t->size * sizeof(float), e->end - e->begin);
    return PN_OK;
}

static entry *find_entry(const header *h, const char *name)
{
    const entry key = {.name = name};
    return h->n_entries > 0 ? bsearch(&key, h->entries, h->n_entries, sizeof key, by_name) : NULL;
}

/* The file has every tensor of the network, as the network needs it, and no other. */
static pn_status check_tensors(pn_net *net, const header *h, char *err)
{
    pn_status status;
    for (int i = 0; i < net->n_tensors; i++) {
        pn_tensor t;
        if ((status = pn_net_tensor(net, i, &t)) != PN_OK)
            return fail(err, status, "%s", net->error);
        entry *e = find_entry(h, t.name);
        if (!e)
            return fail(err, PN_ERR_FORMAT, "tensor %s is missing", t.name);
        if ((status = check_entry(e, &t, err)) != PN_OK)
            return status;
        e->used = true;
    }
    for (size_t i = 0; i < h->n_entries; i++)
        if (!h->entries[i].used)
            return fail(err, PN_ERR_FORMAT, "its network has no tensor %s", show(h->entries[i].name).text);
    return PN_OK;
}

/* Each tensor from its place in the file, wherever the writer put it; all have been checked. */
static pn_status read_tensors(pn_net *net, const header *h, int fd, char *err)
{
    pn_status status = PN_OK;
    for (int i = 0; i < net->n_tensors && status == PN_OK; i++) {
        pn_tensor t;
        if ((status = pn_net_tensor(net, i, &t)) != PN_OK)
            return fail(err, status, "%s", net->error);
        status = read_at(fd, t.data, (size_t)t.size * sizeof(float), 8 + h->size + find_entry(h, t.name)->begin, err);
    }
    return status;
}

/* Keys that are the file's own, now or in a later version. */
static bool is_reserved(const char *key)
{
    return strncmp(key, TEXT_KEY, strlen(TEXT_KEY)) == 0;
}

/* The whole number that stands under this key; left alone if none does. */
static pn_status read_count(uint64_t *number, const header *h, const char *key, char *err)
{
    const char *text = header_note(h, key);
    const size_t digits = text ? decimal(text, number) : 0;
    if (text && (digits == 0 || text[digits] != '\0'))
        return fail(err, PN_ERR_FORMAT, "\"%s\" is %s, not a whole number of 64 bits", key, show(text).text);
    return PN_OK;
}

static pn_status read_notes(pn_net *net, const header *h, char *err)
{
    pn_status bad = read_count(&net->seed, h, SEED_KEY, err);
    if (!bad)
        bad = read_count(&net->updates, h, UPDATES_KEY, err);
    if (bad)
        return bad;
    for (size_t i = 0; i < h->n_pairs; i++) {
        const pair *p = &h->pairs[i];
        pn_status status = is_reserved(p->key) ? PN_OK : pn_net_set_meta(net, p->key, p->value);
        if (status == PN_ERR_ARGUMENT)
            status = PN_ERR_FORMAT; /* it is the file that is wrong, not the caller */
        if (status != PN_OK)
            return fail(err, status, "%s", net->error);
    }
    return PN_OK;
}

static pn_status read_model(pn_net **net, const char *path, char *err)
{
    header h = {0};
    char why[PN_ERRLEN] = "";
    pn_status status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* opening a pipe must not wait for a writer */
    if (fd < 0)
        return io_fail(err, errno, NULL);
    if ((status = read_header(&h, fd, err)) != PN_OK)
        goto done;
    if ((status = net_build(net, header_note(&h, TEXT_KEY), why)) != PN_OK) {
        if (status == PN_ERR_SPEC)
            status = PN_ERR_FORMAT; /* it is the file that is wrong, not the caller */
        fail(err, status, "its network: %s", why);
        goto done;
    }
    if ((status = check_tensors(*net, &h, err)) != PN_OK)
        goto done;
    if ((status = net_allocate(*net, err)) != PN_OK)
        goto done;
    if ((status = read_tensors(*net, &h, fd, err)) != PN_OK)
        goto done;
    status = read_notes(*net, &h, err);
done:;
    int code = errno; /* closing and freeing may change it */
    header_free(&h);
    close(fd);
    errno = code;
    return status;
}

pn_status pn_net_load(pn_net **net, const char *path, char err[PN_ERRLEN])
{
    char why[PN_ERRLEN] = "";
    *net = NULL;
    pn_status status = read_model(net, path, why);
    int code = errno;
    if (status != PN_OK) {
        pn_net_free(*net);
        *net = NULL;
        fail(err, status, "cannot read %s: %s", show(path).text, why);
    }
    errno = code;
    return status;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

/* Is there nothing that loading would refuse? */
static pn_status check_texts(const pn_net *net, char *err)
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
    return PN_OK;
}

/* The header and the 8 bytes before it, padded so that the data starts at a multiple of 8. Allocated. */
static pn_status make_header(pn_net *net, char **head, size_t *size, char *err)
{
    uint64_t at = 0;
    pn_status status = check_texts(net, err);
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
    for (int i = 0; i < net->n_notes; i++) {
        fputc(',', to);
        json_write_string(to, net->notes[i].key);
        fputc(':', to);
        json_write_string(to, net->notes[i].value);
    }
    fputc('}', to);
    for (int i = 0; i < net->n_tensors && status == PN_OK; i++) {
        pn_tensor t;
        if ((status = pn_net_tensor(net, i, &t)) != PN_OK)
            break;
        fprintf(to, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[", t.name);
        for (int d = 0; d < t.rank; d++)
            fprintf(to, d ? ",%" PRId64 : "%" PRId64, t.shape[d]);
        uint64_t end = at + (uint64_t)t.size * sizeof(float);
        fprintf(to, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, end);
        at = end;
    }
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

/* Writes head and the parameters, and waits for the disk. Closes fd. */
static pn_status fill(int fd, const pn_net *net, const char *head, size_t size, char *err)
{
    pn_status status = write_all(fd, head, size, err);
    if (status == PN_OK)
        status = write_all(fd, net->parameters, (net->n_parameters + net->n_state) * sizeof(float), err);
    if (status == PN_OK && fsync(fd) != 0)
        status = io_fail(err, errno, NULL);
    int code = errno;
    if (close(fd) != 0 && status == PN_OK)
        return io_fail(err, errno, NULL); /* NFS may refuse as late as here */
    errno = code;
    return status;
}

/* Fills a temporary file and renames it to `name`: a crash leaves the old file or the new, never half of one. */
static pn_status replace(int folder, const char *name, const pn_net *net, const char *head, size_t size, char *err)
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
    pn_status status = fill(fd, net, head, size, err);
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

static pn_status write_model(pn_net *net, const char *path, char *err)
{
    char *head = NULL, *target = NULL;
    size_t size = 0;
    int folder = -1;
    pn_status status;
    if ((status = make_header(net, &head, &size, err)) != PN_OK)
        goto done;
    if ((status = resolve(path, &target, err)) != PN_OK)
        goto done;
    char *slash = strrchr(target, '/'), *name = slash ? slash + 1 : target;
    const char *parent = !slash ? "." : slash == target ? "/" : target;
    if (slash)
        *slash = '\0';
    folder = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    status = folder < 0 ? io_fail(err, errno, NULL) : replace(folder, name, net, head, size, err);
done:;
    int code = errno; /* closing and freeing may change it */
    if (folder >= 0)
        close(folder);
    free(target);
    free(head);
    errno = code;
    return status;
}

pn_status pn_net_save(pn_net *net, const char *path)
{
    char why[PN_ERRLEN] = "";
    net->error[0] = '\0';
    pn_status status = write_model(net, path, why);
    int code = errno;
    if (status != PN_OK)
        fail(net->error, status, "cannot write %s: %s", show(path).text, why);
    errno = code;
    return status;
}
