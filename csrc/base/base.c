/* Descriptions of statuses, messages, printing, shapes. */
#include "base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *pn_strerror(pn_status status)
{
    static const char *const words[] = {
        [PN_OK] = "no error",
        [PN_ERR_MEMORY] = "out of memory",
        [PN_ERR_ARGUMENT] = "invalid argument",
        [PN_ERR_SPEC] = "invalid text of a network",
        [PN_ERR_STATE] = "calls in the wrong order",
        [PN_ERR_NONFINITE] = "a loss is infinite or NaN",
        [PN_ERR_IO] = "input or output failed",
        [PN_ERR_FORMAT] = "not a model file, or damaged",
        [PN_ERR_PARAMETER] = "a parameter is infinite or NaN",
    };
    const size_t n = sizeof words / sizeof *words;
    return (size_t)status < n ? words[status] : "unknown status";
}

#define DIGITS(number) #number
#define DOTTED(major, minor, patch) DIGITS(major) "." DIGITS(minor) "." DIGITS(patch)

const char *pn_version(void)
{
    return DOTTED(PN_VERSION_MAJOR, PN_VERSION_MINOR, PN_VERSION_PATCH);
}

pn_status fail(char *err, pn_status status, const char *format, ...)
{
    va_list args;
    const int code = errno; /* part of the failure, if that is one of a file */
    if (!err)
        return status;
    va_start(args, format);
    vsnprintf(err, PN_ERRLEN, format, args);
    va_end(args);
    errno = code;
    return status;
}

void write_bytes(writer *to, const char *bytes, size_t n)
{
    const size_t fit = n < to->left ? n : to->left;
    if (to->at) {
        memcpy(to->at, bytes, fit);
        to->at += fit;
        to->left -= fit;
    }
    to->used += n;
}

void print(writer *to, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const size_t n = (size_t)vsnprintf(to->at, to->left, format, args), fit = n < to->left ? n : to->left;
    va_end(args);
    if (to->at)
        to->at += fit;
    to->left -= fit;
    to->used += n;
}

int64_t shape_size(const shape *s)
{
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++)
        n *= s->dim[i];
    return n;
}

bool same_shape(const shape *a, const shape *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) == 0;
}

shape_text show_shape(const shape *s)
{
    shape_text t = {"("};
    size_t at = 1;
    for (int i = 0; i < s->rank; i++)
        at += (size_t)snprintf(t.text + at, sizeof t.text - at, i ? ",%lld" : "%lld", (long long)s->dim[i]);
    t.text[at] = ')';
    return t;
}

void partition_array(int id, int threads, size_t n, size_t grain, size_t *from, size_t *to)
{
    const uint64_t grains = ((uint64_t)n + grain - 1) / grain;
    const uint64_t start = grains * (unsigned)id / (unsigned)threads * grain,
                   end = grains * ((unsigned)id + 1) / (unsigned)threads * grain;
    *from = start < n ? (size_t)start : n;
    *to = end < n ? (size_t)end : n;
}

void partition(int id, int threads, int n, int grain, int *from, int *to)
{
    size_t start, end;
    partition_array(id, threads, (size_t)n, (size_t)grain, &start, &end);
    *from = (int)start;
    *to = (int)end;
}

size_t padded(int64_t n)
{
    return ((size_t)n + PAD - 1) / PAD * PAD;
}

size_t row_distance(int64_t n)
{
    const size_t floats = padded(n);
    return floats % 256 ? floats : floats + PAD;
}
