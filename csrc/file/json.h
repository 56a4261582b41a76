/* Parsing JSON; paths and names in messages. */
#ifndef PN_JSON_H
#define PN_JSON_H

#include "net/net.h"

#define SHOWN 96 /* bytes of a path or name in a message, so that the reason fits, too */

/* A position in the header. After the first failure all functions below do nothing and return 0, false or "". */
typedef struct {
    char *text; /* ends in a zero byte; strings are decoded in place */
    size_t at;
    pn_status status;
    char *err;
} json;

/* Fails with a message that names the byte offset. */
__attribute__((format(printf, 2, 3))) void json_fail(json *j, const char *format, ...);

/* Skips blanks; json_expect then also skips c, and fails if it does not come next. */
void json_blanks(json *j);
void json_expect(json *j, char c);

/* Is there another member before the closing bracket? Skips the comma before it, or the bracket. */
bool json_more(json *j, char close, bool *first);

/* Decodes a string in place; it has no zero bytes. json_key also skips the colon after it. */
const char *json_string(json *j);
const char *json_key(json *j);

uint64_t json_integer(json *j);

/* Reads decimal digits at s; returns their number, or 0 if there are none, for a leading zero, or past 64 bits. */
size_t decimal(const char *s, uint64_t *value);

/* A path or name for a message: the end of a long one, and ? for control characters. */
typedef struct {
    char text[SHOWN];
} shown;
shown show(const char *name);

#endif
