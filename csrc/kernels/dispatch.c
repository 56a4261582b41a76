/* Chooses the kernel table for this CPU. */
#include "kernels/kernels.h"
#include "pynet.h"

#include <string.h>

#if defined(__x86_64__)
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

/* Best first. */
static const struct {
    const kernel_table *table;
    bool (*runs_here)(void); /* NULL: on every CPU that the build is for */
} tables[] = {
#if defined(__x86_64__)
    {&kernels_avx512, has_avx512},
    {&kernels_avx2, has_avx2},
#elif defined(__aarch64__)
    {&kernels_neon, NULL},
#endif
#if defined(__wasm_simd128__)
    {&kernels_wasm, NULL}, /* alone: a browser runs the module or refuses it */
#else
    {&kernels_portable, NULL},
#endif
};

enum { TABLES = sizeof tables / sizeof *tables };

static const kernel_table *current;

/* The i-th table that this CPU can run; NULL past the last. */
static const kernel_table *runnable(int i)
{
    for (size_t t = 0; t < TABLES; t++)
        if ((!tables[t].runs_here || tables[t].runs_here()) && i-- == 0)
            return tables[t].table;
    return NULL;
}

static const kernel_table *named(const char *name)
{
    const kernel_table *t = NULL;
    for (int i = 0; name && (t = runnable(i)); i++)
        if (strcmp(t->name, name) == 0)
            break;
    return t;
}

const kernel_table *kernels(void)
{
    const kernel_table *t = atomic_read(&current);
    if (!t) { /* two threads may both get here: they choose the same table */
        t = named(environment("PYNET_CPU"));
        if (!t)
            t = runnable(0);
        atomic_write(&current, t);
    }
    return t;
}

const char *pn_cpu(void)
{
    return kernels()->name;
}

const char *pn_cpu_table(int i)
{
    const kernel_table *t = i < 0 ? NULL : runnable(i);
    return t ? t->name : NULL;
}

pn_status pn_set_cpu(const char *name)
{
    const kernel_table *t = named(name);
    if (name && !t)
        return PN_ERR_ARGUMENT;
    atomic_write(&current, t);
    return PN_OK;
}
