/* JSON, and the texts in a model file. */
#ifndef PN_JSON_H
#define PN_JSON_H

#include "net/net.h"

#include <stdio.h>

#define SHOWN 96 /* bytes of a path or name in a message: leaves room for the reason */

/* A position in the header. After the first failure every call below does nothing and answers 0, false or "". */
typedef struct {
    char *text; /* ends in a zero byte; strings are decoded in place */
    size_t at;
    pn_status status;
    char *err;
} json;

/* Fails with a message that names the byte. */
__attribute__((format(printf, 2, 3))) void json_fail(json *j, const char *format, ...);

/* Steps over blanks; the second eats c if it comes next, the third fails if it does not. */
void json_blanks(json *j);
bool json_take(json *j, char c);
void json_expect(json *j, char c);

/* Is there another member before the closing bracket? Eats the comma before it, or the bracket. */
bool json_more(json *j, char close, bool *first);

/* Decodes a string; it has no zero bytes and lies in the text. The second eats its colon, too. */
const char *json_string(json *j);
const char *json_key(json *j);

uint64_t json_integer(json *j);

/* Writes s, valid UTF-8, as a JSON string. */
void json_write_string(FILE *to, const char *s);

/* Decimal digits at s to *value; returns how many, 0 when there are none, a zero leads, or 64 bits are too few. */
size_t decimal(const char *s, uint64_t *value);

/* A path or name as messages show it: the end of a long one, and control characters as ? to stay on one line. */
typedef struct {
    char text[SHOWN];
} shown;
shown show(const char *name);

#endif
