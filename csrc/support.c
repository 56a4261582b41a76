/* What every room may need: statuses in words, messages, memory, shapes. */
#include "internal.h"
#include "threads.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *pn_strerror(pn_status status)
{
    static const char *const words[] = {
        [PN_OK] = "no error",
        [PN_ERR_MEMORY] = "out of memory",
        [PN_ERR_ARGUMENT] = "argument not accepted",
        [PN_ERR_SPEC] = "wrong text of a network",
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

activation layer_input(const layer *l, const pass *p)
{
    return l->copy_size ? l->copy : l->before ? l->x : p->inputs;
}

activation layer_input_gradient(const layer *l)
{
    return l->copy_size ? l->dcopy : l->dx;
}

channel_rows rows_of_channels(int m, size_t ld, int places, int n)
{
    if (places == 1) /* samples are as good as places: one long run */
        return (channel_rows){.runs = 1, .count = m, .step = ld, .n = n};
    return (channel_rows){.runs = m, .apart = ld, .count = places, .step = (size_t)n, .n = n};
}

size_t padded(int64_t n)
{
    return ((size_t)n + PAD - 1) / PAD * PAD;
}

void my_share(const pass *p, int n, int grain, int *from, int *to)
{
    share(p->id, p->threads, n, grain, from, to);
}
