/* From the bytes of a model file to a network. Everything is checked: the file may be damaged or hostile. */
#include "file/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DIMS 8 /* of a tensor's shape; further ones are counted, not kept */

typedef struct {
    const char *name, *dtype;
    int rank;
    unsigned long long dim[MAX_DIMS];
    unsigned long long begin, end; /* bytes, from the start of the data; begin <= end */
    bool used;
} entry;

typedef struct {
    const char *key, *value;
} pair;

/* A parsed header; the strings lie in its text. */
typedef struct {
    char *text; /* `size` bytes, then a zero byte; strings are decoded in place */
    size_t size;
    entry *entries;
    size_t n_entries;
    pair *pairs; /* of __metadata__, with unique keys */
    size_t n_pairs;
    bool has_pairs;
} header;

/* Is this key of a note reserved for this format, now or in later versions? */
static bool is_reserved(const char *key)
{
    return strncmp(key, TEXT_KEY, strlen(TEXT_KEY)) == 0;
}

bool is_checkpoint_name(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", others[] = "0123456789._";
    const size_t first = strspn(name, letters);
    for (size_t i = first; name[i]; i++)
        if (!strchr(letters, name[i]) && !strchr(others, name[i]))
            return false;
    return first > 0;
}

/* ---- the header ---------------------------------------------------------------------------------------------------- */

static const char *header_note(const header *h, const char *key)
{
    for (size_t i = 0; i < h->n_pairs; i++)
        if (strcmp(h->pairs[i].key, key) == 0)
            return h->pairs[i].value;
    return NULL;
}

/* "__metadata__": {"key": "value", ...} */
static void read_pairs(json *j, header *h)
{
    if (h->has_pairs)
        json_fail(j, "__metadata__ is given twice");
    h->has_pairs = true;
    json_expect(j, '{');
    for (bool first = true; json_more(j, '}', &first);) {
        pair *pairs = memory_grow(h->pairs, h->n_pairs, sizeof *pairs), p;
        if (!pairs) {
            j->status = fail(j->err, PN_ERR_MEMORY, "no memory for its notes");
            return;
        }
        h->pairs = pairs;
        p.key = json_key(j);
        if (header_note(h, p.key))
            json_fail(j, "note %s is given twice", show(p.key).text);
        if (h->n_pairs >= MAX_PAIRS)
            json_fail(j, "more than %d notes", MAX_PAIRS);
        p.value = json_string(j);
        h->pairs[h->n_pairs++] = p;
    }
}

/* "shape": [784, 128] */
static void read_shape(json *j, entry *e)
{
    json_expect(j, '[');
    for (bool first = true; json_more(j, ']', &first); e->rank++) {
        uint64_t dim = json_integer(j);
        if (e->rank < MAX_DIMS)
            e->dim[e->rank] = dim;
    }
}

/* "data_offsets": [0, 401408] */
static void read_offsets(json *j, entry *e)
{
    json_expect(j, '[');
    e->begin = json_integer(j);
    json_expect(j, ',');
    e->end = json_integer(j);
    json_expect(j, ']');
    if (e->begin > e->end)
        json_fail(j, "tensor %s begins at %llu and ends at %llu", show(e->name).text, e->begin, e->end);
}

/* {"dtype": "F32", "shape": [...], "data_offsets": [...]}, in any order, each once */
static void read_entry(json *j, entry *e)
{
    enum { DTYPE, SHAPE, OFFSETS, FIELDS };
    static const char *const fields[] = {"dtype", "shape", "data_offsets"};
    bool seen[FIELDS + 1] = {false};
    json_expect(j, '{');
    for (bool first = true; json_more(j, '}', &first);) {
        const char *key = json_key(j);
        int field = 0;
        while (field < FIELDS && strcmp(key, fields[field]) != 0)
            field++;
        if (field == FIELDS)
            json_fail(j, "unknown field %s; an entry has dtype, shape and data_offsets", show(key).text);
        if (seen[field])
            json_fail(j, "%s is given twice", key);
        seen[field] = true;
        if (field == DTYPE)
            e->dtype = json_string(j);
        if (field == SHAPE)
            read_shape(j, e);
        if (field == OFFSETS)
            read_offsets(j, e);
    }
    if (!seen[DTYPE] || !seen[SHAPE] || !seen[OFFSETS])
        json_fail(j, "tensor %s lacks dtype, shape or data_offsets", show(e->name).text);
}

static pn_status header_parse(header *h, char *err)
{
    json j = {.text = h->text, .err = err};
    if (h->text[0] != '{')
        json_fail(&j, "expected '{'; this is no safetensors file");
    json_expect(&j, '{');
    for (bool first = true; json_more(&j, '}', &first);) {
        entry e = {.name = json_key(&j)};
        if (strcmp(e.name, "__metadata__") == 0) {
            read_pairs(&j, h);
            continue;
        }
        if (h->n_entries >= MAX_ENTRIES)
            json_fail(&j, "more than %d tensors", MAX_ENTRIES);
        read_entry(&j, &e);
        if (j.status != PN_OK)
            break;
        entry *entries = memory_grow(h->entries, h->n_entries, sizeof *entries);
        if (!entries)
            return fail(err, PN_ERR_MEMORY, "no memory for its list of tensors");
        h->entries = entries;
        h->entries[h->n_entries++] = e;
    }
    json_blanks(&j); /* padding */
    if (j.at != h->size)
        json_fail(&j, "something after the closing '}'");
    return j.status;
}

static void header_free(header *h)
{
    memory_free(h->pairs);
    memory_free(h->entries);
    memory_free(h->text);
}

/* ---- the tensors --------------------------------------------------------------------------------------------------- */

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

/* Heap sort (Williams 1964); qsort may call malloc. */
static void sort(entry *e, size_t n, int (*compare)(const void *a, const void *b))
{
    for (size_t start = n / 2, end = n; end > 1;) {
        if (start > 0) {
            start--; /* builds the heap: a parent is not before its children */
        } else {
            const entry largest = e[0];
            e[0] = e[--end];
            e[end] = largest;
        }
        for (size_t parent = start, child; (child = 2 * parent + 1) < end; parent = child) {
            if (child + 1 < end && compare(&e[child], &e[child + 1]) < 0)
                child++;
            if (compare(&e[parent], &e[child]) >= 0)
                break;
            const entry swapped = e[parent];
            e[parent] = e[child];
            e[child] = swapped;
        }
    }
}

/* Fails with this status if a name is there twice. */
static pn_status sort_by_name(entry *e, size_t n, pn_status twice, char *err)
{
    sort(e, n, by_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(e[i - 1].name, e[i].name) == 0)
            return fail(err, twice, "tensor %s is given twice", show(e[i].name).text);
    return PN_OK;
}

pn_status check_names(const pn_tensor *t, int n, char *err)
{
    entry *e = memory_zeros((uint64_t)n, sizeof *e);
    if (!e)
        return fail(err, PN_ERR_MEMORY, "no memory for the names of %d tensors", n);
    for (int i = 0; i < n; i++)
        e[i].name = t[i].name;
    const pn_status status = sort_by_name(e, (size_t)n, PN_ERR_ARGUMENT, err);
    memory_free(e);
    return status;
}

/* Checks that the tensors fill all `size` bytes of data without gaps or overlaps; then sorts them by name. */
static pn_status check_layout(entry *e, size_t n, unsigned long long size, char *err)
{
    unsigned long long at = 0;
    sort(e, n, by_offset);
    for (size_t i = 0; i < n; at = e[i++].end)
        if (e[i].begin != at)
            return fail(err, PN_ERR_FORMAT, "tensor %s begins at byte %llu of the data, %s at %llu",
                        show(e[i].name).text, e[i].begin, e[i].begin > at ? "after a gap" : "inside one that ends", at);
    if (at != size)
        return fail(err, PN_ERR_FORMAT, "its tensors take %llu bytes, but %llu follow the header%s", at, size,
                    size < at ? ": it was cut short" : "");
    return sort_by_name(e, n, PN_ERR_FORMAT, err);
}

static pn_status read_header(header *h, const source *from, char *err)
{
    unsigned char bytes[8];
    unsigned long long size = 0;
    pn_status status;
    if (from->size < 8)
        return fail(err, PN_ERR_FORMAT, "%d bytes are too few for a safetensors file", (int)from->size);
    if ((status = from->read(from, bytes, sizeof bytes, 0, err)) != PN_OK)
        return status;
    for (int i = 7; i >= 0; i--)
        size = size << 8 | bytes[i];
    if (size > MAX_HEADER || size > from->size - 8)
        return fail(
            err, PN_ERR_FORMAT,
            "its header claims %llu bytes; at most %d are allowed and %llu are there: this is no safetensors file, "
            "or it was cut short",
            size, MAX_HEADER, (unsigned long long)from->size - 8);
    h->size = (size_t)size;
    if (!(h->text = memory_take(h->size + 1)))
        return fail(err, PN_ERR_MEMORY, "no memory for its header");
    if ((status = from->read(from, h->text, h->size, 8, err)) != PN_OK)
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
    return check_layout(h->entries, h->n_entries, from->size - 8 - h->size, err);
}

/* "(784, 128)" */
static shown show_dims(const unsigned long long *dim, int rank)
{
    shown s = {"("};
    size_t at = 1;
    for (int i = 0; i < rank && i < MAX_DIMS && at < SHOWN; i++)
        at += (size_t)snprintf(s.text + at, SHOWN - at, i ? ", %llu" : "%llu", dim[i]);
    if (at < SHOWN)
        snprintf(s.text + at, SHOWN - at, rank > MAX_DIMS ? ", ...)" : rank == 1 ? ",)" : ")");
    return s;
}

/* Do dtype, shape and size of entry e match tensor t? */
static pn_status check_entry(const entry *e, const pn_tensor *t, char *err)
{
    unsigned long long dim[PN_MAXRANK];
    bool same = e->rank == t->rank;
    for (int i = 0; i < t->rank; i++)
        dim[i] = (unsigned long long)t->shape[i];
    for (int i = 0; i < t->rank; i++)
        same = same && e->dim[i] == dim[i];
    if (strcmp(e->dtype, "F32") != 0)
        return fail(err, PN_ERR_FORMAT, "tensor %s has dtype %s, its network takes F32", t->name, show(e->dtype).text);
    if (!same)
        return fail(err, PN_ERR_FORMAT, "tensor %s has shape %s, its network takes %s", t->name,
                    show_dims(e->dim, e->rank).text, show_dims(dim, t->rank).text);
    if (e->end - e->begin != (uint64_t)t->size * sizeof(float))
        return fail(err, PN_ERR_FORMAT, "tensor %s of shape %s takes %llu bytes, not %llu", t->name,
                    show_dims(dim, t->rank).text, (unsigned long long)t->size * sizeof(float), e->end - e->begin);
    return PN_OK;
}

static entry *find_entry(const header *h, const char *name)
{
    const entry key = {.name = name};
    return h->n_entries > 0 ? bsearch(&key, h->entries, h->n_entries, sizeof key, by_name) : NULL;
}

/* Is e a valid further tensor of a checkpoint? */
static pn_status check_extra(const entry *e, char *err)
{
    const unsigned long long bytes = e->end - e->begin;
    unsigned long long size = 1;
    bool fits = e->rank <= PN_MAXRANK && strcmp(e->dtype, "F32") == 0;
    for (int i = 0; fits && i < e->rank; i++)
        fits = !__builtin_mul_overflow(size, e->dim[i], &size);
    if (!fits || size > bytes / sizeof(float) || size * sizeof(float) != bytes)
        return fail(err, PN_ERR_FORMAT, "tensor %s of shape %s and dtype %s takes %llu bytes", show(e->name).text,
                    show_dims(e->dim, e->rank).text, show(e->dtype).text, bytes);
    return PN_OK;
}

/* Checks that the file has every tensor of the network, in its shape, and no others except those of a checkpoint. */
static pn_status check_tensors(const pn_net *net, const header *h, char *err)
{
    pn_status status;
    for (int i = 0; i < net->n_tensors; i++) {
        const pn_tensor t = net_tensor(net, i);
        entry *e = find_entry(h, t.name);
        if (!e)
            return fail(err, PN_ERR_FORMAT, "tensor %s is missing", t.name);
        if ((status = check_entry(e, &t, err)) != PN_OK)
            return status;
        e->used = true;
    }
    for (size_t i = 0; i < h->n_entries; i++) {
        const entry *e = &h->entries[i];
        if (e->used)
            continue;
        if (!header_note(h, CHECKPOINT_KEY) || !is_checkpoint_name(e->name))
            return fail(err, PN_ERR_FORMAT, "its network has no tensor %s", show(e->name).text);
        if ((status = check_extra(e, err)) != PN_OK)
            return status;
    }
    return PN_OK;
}

/* Reads the tensors of the network, in any order in the file; they have been checked. */
static pn_status read_tensors(const pn_net *net, const header *h, const source *from, char *err)
{
    pn_status status = PN_OK;
    for (int i = 0; i < net->n_tensors && status == PN_OK; i++) {
        const pn_tensor t = net_tensor(net, i);
        status =
            from->read(from, t.data, (size_t)t.size * sizeof(float), 8 + h->size + find_entry(h, t.name)->begin, err);
    }
    return status;
}

/* Reads text and further tensors of a checkpoint. */
static pn_status read_extras(pn_checkpoint *more, const header *h, const source *from, char *err)
{
    const char *text = header_note(h, CHECKPOINT_KEY);
    pn_status status = PN_OK;
    if (!text)
        return fail(err, PN_ERR_FORMAT, "it is a model, but no checkpoint");
    more->text = memory_copy(text);
    more->tensor = memory_zeros(h->n_entries + 1, sizeof *more->tensor);
    if (!more->text || !more->tensor)
        return fail(err, PN_ERR_MEMORY, "no memory for the tensors of a checkpoint");
    for (size_t i = 0; i < h->n_entries && status == PN_OK; i++) {
        const entry *e = &h->entries[i];
        const size_t bytes = (size_t)(e->end - e->begin);
        if (e->used)
            continue;
        pn_tensor *t = &more->tensor[more->tensors++];
        *t = (pn_tensor){
            .name = memory_copy(e->name), .layer = -1, .rank = e->rank, .data = memory_take(bytes ? bytes : 1)};
        t->size = (int64_t)(bytes / sizeof(float));
        for (int d = 0; d < e->rank; d++)
            t->shape[d] = (int64_t)e->dim[d];
        if (!t->name || !t->data)
            return fail(err, PN_ERR_MEMORY, "no memory for tensor %s", show(e->name).text);
        status = from->read(from, t->data, bytes, 8 + h->size + e->begin, err);
    }
    return status;
}

void pn_checkpoint_free(pn_checkpoint *more)
{
    if (!more)
        return;
    for (int i = 0; i < more->tensors; i++) {
        memory_free((void *)(uintptr_t)more->tensor[i].name); /* allocated by read_extras, though const */
        memory_free(more->tensor[i].data);
    }
    memory_free(more->tensor);
    memory_free(more->text);
    *more = (pn_checkpoint){0};
}

/* Reads the whole number under this key; without the key leaves *number unchanged. */
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
            status = PN_ERR_FORMAT; /* the file is wrong, not the caller */
        if (status != PN_OK)
            return fail(err, status, "%s", net->error);
    }
    return PN_OK;
}

static pn_status parse(pn_net **net, pn_checkpoint *more, header *h, const source *from, char *err)
{
    char why[PN_ERRLEN] = "";
    pn_status status;
    if ((status = read_header(h, from, err)) != PN_OK)
        return status;
    if ((status = net_build(net, header_note(h, TEXT_KEY), why)) != PN_OK) /* PN_ERR_SPEC: the file is wrong */
        return fail(err, status == PN_ERR_SPEC ? PN_ERR_FORMAT : status, "its network: %s", why);
    if ((status = check_tensors(*net, h, err)) != PN_OK)
        return status;
    if ((status = net_allocate(*net, err)) != PN_OK)
        return status;
    if ((status = read_tensors(*net, h, from, err)) != PN_OK)
        return status;
    if (net_check_parameters(*net, err) != PN_OK)
        return PN_ERR_FORMAT; /* the file is wrong */
    if ((status = read_notes(*net, h, err)) != PN_OK)
        return status;
    return more ? read_extras(more, h, from, err) : PN_OK;
}

pn_status read_model(pn_net **net, pn_checkpoint *more, const source *from, char *err)
{
    header h = {0};
    *net = NULL;
    const pn_status status = parse(net, more, &h, from, err);
    header_free(&h);
    if (status) {
        pn_net_free(*net);
        *net = NULL;
        if (more)
            pn_checkpoint_free(more);
    }
    return status;
}
