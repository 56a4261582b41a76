/* The JSON header of a model file. */
#ifndef PN_JSON_H
#define PN_JSON_H

#include "net/net.h"

#include <stdio.h>

#define MAX_PAIRS 4096 /* each new one is compared with those before it */
#define MAX_DIMS 8     /* of a tensor's shape; further ones are counted, not kept */
#define SHOWN 96       /* bytes of a path or name in a message: leaves room for the reason */

typedef struct {
    const char *name, *dtype;
    int rank;
    uint64_t dim[MAX_DIMS];
    uint64_t begin, end; /* bytes, from the start of the data; begin <= end */
    bool used;
} entry;

typedef struct {
    const char *key, *value;
} pair;

/* What a header says; the strings lie in its text. */
typedef struct {
    char *text; /* malloc'ed; `size` bytes, then a zero byte; parsing uses it up */
    size_t size;
    entry *entries;
    size_t n_entries;
    pair *pairs; /* __metadata__, no key twice */
    size_t n_pairs;
    bool has_pairs;
} header;

/* Fills entries and pairs from text and size. Free with header_free, after a failure too. */
pn_status header_parse(header *h, char *err);
void header_free(header *h);

/* The value under this key of __metadata__; NULL when there is none. */
const char *header_note(const header *h, const char *key);

/* Writes s, valid UTF-8, as a JSON string. */
void json_write_string(FILE *to, const char *s);

bool utf8_valid(const char *s);

/* Decimal digits at s to *value; returns how many, 0 when there are none, a zero leads, or 64 bits are too few. */
size_t decimal(const char *s, uint64_t *value);

/* A path or name as messages show it: the end of a long one, and control characters as ? to stay on one line. */
typedef struct {
    char text[SHOWN];
} shown;
shown show(const char *name);

#endif
