/* Shared by the C tests: counted checks, comparison of texts and frequencies, networks from a text, hashes. */
#ifndef TESTING_H
#define TESTING_H

#include "pynet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef PN_NO_THREADS
enum { THREADED = 0 };
#else
enum { THREADED = 1 };
#endif

static int checks, failures;

#define CHECK(what)                                           \
    do {                                                      \
        checks++;                                             \
        if (!(what)) {                                        \
            failures++;                                       \
            printf("line %d: not so: %s\n", __LINE__, #what); \
        }                                                     \
    } while (0)

/* The call on `net` fails with this status and a message that contains this text. */
#define REFUSED(call, status, message)                                            \
    do {                                                                          \
        CHECK((call) == (status));                                                \
        CHECK(strstr(pn_net_error(net), message));                                \
        if (!strstr(pn_net_error(net), message))                                  \
            printf("line %d: the message is: %s\n", __LINE__, pn_net_error(net)); \
    } while (0)

/* The texts are equal; prints both if not. */
#define SAME_TEXT(got, wanted) check_same_text(__LINE__, got, wanted)

static inline void check_same_text(int line, const char *got, const char *wanted)
{
    checks++;
    if (strcmp(got, wanted) == 0)
        return;
    failures++;
    printf("line %d: got    %s\nline %d: wanted %s\n", line, got, line, wanted);
}

/* A statistic is within 5 standard errors: by chance one of 1.7 million is not. Seeds are fixed: the result is always
   the same. */
#define FIVE_ERRORS(statistic, expected, error) check_five_errors(__LINE__, statistic, expected, error)

static inline void check_five_errors(int line, double statistic, double expected, double error)
{
    const double off = statistic > expected ? statistic - expected : expected - statistic;
    checks++;
    if (off < 5 * error)
        return;
    failures++;
    printf("line %d: %.9g is %.1f standard errors from %.9g\n", line, statistic, off / error, expected);
}

static inline pn_net *created(const char *text, uint64_t seed)
{
    char err[PN_ERRLEN];
    pn_net *net;
    if (pn_net_new(&net, text, seed, err) != PN_OK) {
        printf("%s: %s\n", text, err);
        exit(1);
    }
    return net;
}

/* FNV-1a (Fowler, Noll and Vo) of these bytes, continued from h. */
static inline uint64_t hash_on(uint64_t h, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    return h;
}

/* The net saved to memory and loaded from it. */
static inline pn_net *saved_and_loaded(pn_net *net)
{
    char err[PN_ERRLEN] = "";
    size_t size = 0;
    pn_net *again;
    CHECK(pn_net_save_memory(net, NULL, 0, &size) == PN_OK);
    void *bytes = malloc(size);
    CHECK(bytes && pn_net_save_memory(net, bytes, size, &size) == PN_OK);
    if (pn_net_load_memory(&again, bytes, size, err) != PN_OK) {
        printf("%s\n", err);
        exit(1);
    }
    free(bytes);
    return again;
}

static const uint64_t no_bytes = 0xcbf29ce484222325u; /* FNV-1a of no bytes */

/* The hash of all tensors. */
static inline uint64_t hash(pn_net *net)
{
    uint64_t h = no_bytes;
    pn_net_info info;
    pn_net_describe(net, &info);
    for (int i = 0; i < info.tensors; i++) {
        pn_tensor t;
        CHECK(pn_net_tensor(net, i, &t) == PN_OK);
        h = hash_on(h, t.data, (size_t)t.size * sizeof *t.data);
    }
    return h;
}

/* 24 bits of a linear congruential generator: the same numbers on every machine. */
static inline uint32_t draw(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

#endif
