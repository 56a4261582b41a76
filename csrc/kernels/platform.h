/* What a system may lack, and how the core then does without. A build can define PN_NO_THREADS: no threads, no atomic
   operations; PN_NO_ENV: no environment variables; PN_NO_FILES: no files, see file/disk.c. */
#ifndef PN_PLATFORM_H
#define PN_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "pynet needs a little-endian machine: model files hold numbers as they are in memory"
#endif
#if defined(__FLT_EVAL_METHOD__) && (__FLT_EVAL_METHOD__ < 0 || __FLT_EVAL_METHOD__ == 1 || __FLT_EVAL_METHOD__ == 2)
#error "pynet needs float arithmetic without excess precision: for x86 of 32 bits add -msse2 -mfpmath=sse"
#endif

#ifndef PN_NO_ENV
#include <stdlib.h>
#endif

static inline const char *environment(const char *name)
{
#ifdef PN_NO_ENV
    (void)name;
    return NULL;
#else
    return getenv(name);
#endif
}

/* Memory that several threads access at once: relaxed reads and writes; atomic_replace writes if *p still is *old, else
   updates *old; atomic_add gives the value before; atomic_take sets a flag, was it clear? */
#ifdef PN_NO_THREADS
#define atomic_read(p) (*(p))
#define atomic_write(p, value) ((void)(*(p) = (value)))
#define atomic_replace(p, old, value) (*(p) = (value), true)
#define atomic_add(p, n) ((*(p) += (n)) - (n))
#define atomic_take(flag) (!*(flag) && (*(flag) = true))
#define atomic_clear(flag) ((void)(*(flag) = false))
#else
#define atomic_read(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define atomic_write(p, value) __atomic_store_n(p, value, __ATOMIC_RELAXED)
#define atomic_replace(p, old, value) \
    __atomic_compare_exchange_n(p, old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
#define atomic_add(p, n) __atomic_fetch_add(p, n, __ATOMIC_RELAXED)
#define atomic_take(flag) (!__atomic_test_and_set(flag, __ATOMIC_ACQUIRE))
#define atomic_clear(flag) __atomic_clear(flag, __ATOMIC_RELEASE)
#endif

static inline float atomic_read_float(const float *p)
{
#ifdef PN_NO_THREADS
    return *p;
#else
    float value;
    __atomic_load(p, &value, __ATOMIC_RELAXED);
    return value;
#endif
}

#endif
