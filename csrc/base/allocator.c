/* All memory of the core is taken and freed here. */
#define _DEFAULT_SOURCE
#include "base/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#if defined(_NEWLIB_VERSION) || defined(_WIN32) || defined(PN_NO_ALIGNED_ALLOC)

/* Such C libraries have no aligned_alloc: the pointer before the block is that of malloc. */
static void *default_alloc(void *context, size_t bytes, size_t align)
{
    (void)context;
    (void)align;
    char *memory = bytes <= SIZE_MAX - ALIGN - sizeof(void *) ? malloc(bytes + ALIGN + sizeof(void *)) : NULL;
    if (!memory)
        return NULL;
    void **block = (void **)(((uintptr_t)memory + sizeof(void *) + ALIGN - 1) / ALIGN * ALIGN);
    block[-1] = memory;
    return block;
}

static void default_free(void *context, void *block)
{
    (void)context;
    free(((void **)block)[-1]);
}

#else

/* Large blocks in huge pages, where Linux has some: a large matrix otherwise spends much of its time on TLB misses. */
static void *default_alloc(void *context, size_t bytes, size_t align)
{
    (void)context;
#ifdef MADV_HUGEPAGE
    const size_t huge = (size_t)1 << 21;
    void *block;
    if (bytes >= huge && posix_memalign(&block, huge, bytes) == 0) {
        madvise(block, bytes, MADV_HUGEPAGE);
        return block;
    }
#endif
    return aligned_alloc(align, bytes);
}

static void default_free(void *context, void *block)
{
    (void)context;
    free(block);
}

#endif

static pn_allocator allocator = {default_alloc, default_free, NULL};
static bool used; /* then it must not change */

pn_status pn_set_allocator(const pn_allocator *other)
{
    if (!other || !other->alloc || !other->free)
        return PN_ERR_ARGUMENT;
    if (atomic_read(&used))
        return PN_ERR_STATE;
    allocator = *other;
    return PN_OK;
}

#ifndef PN_NO_THREADS
bool memory_is_default(void)
{
    return allocator.alloc == default_alloc;
}
#endif

uint64_t memory_size(uint64_t bytes)
{
    return bytes <= UINT64_MAX - ALIGN ? (bytes + !bytes + ALIGN - 1) / ALIGN * ALIGN : UINT64_MAX;
}

void *memory_take(uint64_t bytes)
{
    if (!atomic_read(&used))
        atomic_write(&used, true);
    return bytes <= SIZE_MAX - ALIGN ? allocator.alloc(allocator.context, (size_t)memory_size(bytes), ALIGN) : NULL;
}

void memory_free(void *block)
{
    const int code = errno; /* of the failure after which memory is freed */
    if (block)
        allocator.free(allocator.context, block);
    errno = code;
}

void *memory_zeros(uint64_t count, size_t size)
{
    uint64_t bytes;
    void *block = __builtin_mul_overflow(count, size, &bytes) ? NULL : memory_take(bytes);
    return block ? memset(block, 0, (size_t)bytes) : NULL;
}

void *memory_grow(void *array, size_t n, size_t size)
{
    if (n & (n - 1)) /* its capacity is the next power of two */
        return array;
    size_t bytes;
    void *larger = __builtin_mul_overflow(n ? 2 * n : 1, size, &bytes) ? NULL : memory_take(bytes);
    if (larger && n)
        memcpy(larger, array, n * size);
    if (larger)
        memory_free(array);
    return larger;
}

char *memory_copy(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = memory_take(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}
