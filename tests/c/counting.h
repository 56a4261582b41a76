/* An allocator that counts: blocks and bytes that are held, the most at once, and calls. */
#ifndef COUNTING_H
#define COUNTING_H

#include "testing.h"

#ifndef PN_NO_THREADS
#include <pthread.h>
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
#define LOCK() pthread_mutex_lock(&counting)
#define UNLOCK() pthread_mutex_unlock(&counting)
#else
#define LOCK() ((void)0)
#define UNLOCK() ((void)0)
#endif

enum { MOST_BLOCKS = 4096, SHARED = 1 << 20 /* a buffer of the process, which no net owns */ };
static struct {
    struct {
        void *block;
        size_t bytes;
    } held[MOST_BLOCKS];
    int blocks;
    long calls;
    size_t bytes, most;
    long refused_from, refused_to; /* calls of these numbers, from 1, get no memory; 0: all get some */
} memory;

static void *count_alloc(void *context, size_t bytes, size_t align)
{
    void *block = NULL;
    (void)context;
    LOCK();
    const long call = ++memory.calls;
    if (!(call >= memory.refused_from && call <= memory.refused_to) && memory.blocks < MOST_BLOCKS)
        block = aligned_alloc(align, bytes);
    if (block) {
        memset(block, 0xAA, bytes); /* so that reading it unwritten shows */
        memory.held[memory.blocks].block = block;
        memory.held[memory.blocks++].bytes = bytes;
        memory.bytes += bytes == SHARED ? 0 : bytes;
        memory.most = memory.bytes > memory.most ? memory.bytes : memory.most;
    }
    UNLOCK();
    return block;
}

static void count_free(void *context, void *block)
{
    int i = 0;
    (void)context;
    LOCK();
    while (i < memory.blocks && memory.held[i].block != block)
        i++;
    CHECK(i < memory.blocks);
    memory.bytes -= memory.held[i].bytes == SHARED ? 0 : memory.held[i].bytes;
    memory.held[i] = memory.held[--memory.blocks];
    UNLOCK();
    free(block);
}

static inline void count_memory(void)
{
    CHECK(pn_set_allocator(&(pn_allocator){count_alloc, count_free, NULL}) == PN_OK);
}

#endif
