/* The part of JSON that the header of a model file needs, parsed strictly. */
#include "file/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

shown show(const char *name)
{
    shown s;
    size_t n = strlen(name);
    bool cut = n >= SHOWN;
    if (cut)
        name += n - (SHOWN - 4);
    while (cut && ((unsigned char)*name & 0xC0) == 0x80)
        name++; /* not into the middle of a character */
    snprintf(s.text, SHOWN, "%s%s", cut ? "..." : "", name);
    for (char *c = s.text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            *c = '?';
    return s;
}

/* Encodes a character; returns its number of bytes, 1 to 4. */
static size_t utf8_put(char *to, uint32_t code)
{
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--, code >>= 6)
        to[i] = (char)(0x80 | (code & 0x3F));
    to[0] = (char)(lead[n] | code);
    return n;
}

/* ---- parsing ------------------------------------------------------------------------------------------------------- */

void json_fail(json *j, const char *format, ...)
{
    if (j->status != PN_OK)
        return; /* keeps the message of the first failure */
    char why[PN_ERRLEN];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    j->status = fail(j->err, PN_ERR_FORMAT, "byte %zu of the header: %s", j->at, why);
}

void json_blanks(json *j)
{
    if (j->status == PN_OK)
        j->at += strspn(j->text + j->at, " \t\n\r");
}

/* Skips blanks, then c if it comes next. */
static bool json_take(json *j, char c)
{
    json_blanks(j);
    if (j->status != PN_OK || j->text[j->at] != c)
        return false;
    j->at++;
    return true;
}

void json_expect(json *j, char c)
{
    if (!json_take(j, c))
        json_fail(j, "expected '%c'", c);
}

bool json_more(json *j, char close, bool *first)
{
    if (json_take(j, close))
        return false;
    if (!*first)
        json_expect(j, ',');
    *first = false;
    return j->status == PN_OK;
}

/* The number in "\uXXXX" at s; -1: there is none. */
static int32_t json_hex(const char *s)
{
    int32_t value = 0;
    if (s[0] != '\\' || s[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        char c = s[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c - 'A' + 10;
        if (digit < 0 || digit > 15 || (c > '9' && digit < 10))
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Decodes one escape; returns the number of bytes, which is at most that of the escape. */
static size_t json_escape(json *j, char *to)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *s = j->text + j->at, *name = s[1] ? strchr(names, s[1]) : NULL;
    if (name) {
        j->at += 2;
        *to = values[name - names];
        return 1;
    }
    int32_t code = json_hex(s), low;
    size_t length = 6;
    if (code >= 0xD800 && code < 0xDC00 && (low = json_hex(s + 6)) >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        length = 12;
    }
    if (code <= 0 || (code >= 0xD800 && code < 0xE000)) { /* zero would end a C string */
        json_fail(j, "an escape that is not a character");
        return 0;
    }
    j->at += length;
    return utf8_put(to, (uint32_t)code);
}

const char *json_string(json *j)
{
    json_expect(j, '"');
    char *start = j->text + j->at, *to = start;
    while (j->status == PN_OK && j->text[j->at] != '"') {
        const char *s = j->text + j->at;
        size_t n = utf8_length(s);
        if (*s == '\\') {
            to += json_escape(j, to);
        } else if (n == 0 || (unsigned char)*s < 0x20) {
            json_fail(j, n == 0 ? "text that is not UTF-8" : "a string without an end");
        } else {
            memmove(to, s, n);
            to += n;
            j->at += n;
        }
    }
    if (j->status != PN_OK)
        return "";
    j->at++;
    *to = '\0';
    return start;
}

const char *json_key(json *j)
{
    const char *key = json_string(j);
    json_expect(j, ':');
    return key;
}

size_t decimal(const char *s, uint64_t *value)
{
    size_t n = 0;
    *value = 0;
    for (; is_digit(s[n]); n++)
        if (__builtin_mul_overflow(*value, 10u, value) || __builtin_add_overflow(*value, (unsigned)(s[n] - '0'), value))
            return 0;
    return n > 1 && s[0] == '0' ? 0 : n;
}

uint64_t json_integer(json *j)
{
    uint64_t value = 0;
    json_blanks(j);
    if (j->status != PN_OK)
        return 0;
    size_t n = decimal(j->text + j->at, &value);
    char next = j->text[j->at + n];
    if (n == 0 || next == '.' || next == 'e' || next == 'E')
        json_fail(j, "expected a whole number from 0 to %llu", (unsigned long long)UINT64_MAX);
    j->at += n;
    return value;
}
