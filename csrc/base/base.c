/* Descriptions of statuses, messages, memory, shapes. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

const char *pn_version(void)
{
    return PN_VERSION;
}

pn_status fail(char *err, pn_status status, const char *format, ...)
{
    va_list args;
    if (!err)
        return status;
    va_start(args, format);
    vsnprintf(err, PN_ERRLEN, format, args);
    va_end(args);
    return status;
}

void *aligned_zeros(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - ALIGN)
        return NULL;
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    void *block = aligned_alloc(ALIGN, bytes ? bytes : ALIGN);
    return block ? memset(block, 0, bytes) : NULL;
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

size_t padded(int64_t n)
{
    return ((size_t)n + PAD - 1) / PAD * PAD;
}
