/* UTF-8, and text as a JSON string. */
#include "base/base.h"

size_t utf8_length(const char *s)
{
    unsigned char first = (unsigned char)s[0], second;
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first > 0xF4)
        return 0;
    size_t n = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    for (size_t i = 1; i < n; i++)
        if (((unsigned char)s[i] & 0xC0) != 0x80)
            return 0;
    second = (unsigned char)s[1];
    if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F))
        return 0;
    if ((first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F))
        return 0;
    return n;
}

bool utf8_valid(const char *s)
{
    for (size_t n; *s; s += n)
        if ((n = utf8_length(s)) == 0)
            return false;
    return true;
}

void json_write(writer *to, const char *s)
{
    write_bytes(to, "\"", 1);
    for (; *s; s++) {
        size_t plain = 0;
        while ((unsigned char)s[plain] >= 0x20 && s[plain] != '"' && s[plain] != '\\')
            plain++;
        write_bytes(to, s, plain);
        s += plain;
        if (!*s)
            break;
        if ((unsigned char)*s < 0x20)
            print(to, "\\u%04x", (unsigned)*s);
        else
            write_bytes(to, *s == '"' ? "\\\"" : "\\\\", 2);
    }
    write_bytes(to, "\"", 1);
}

size_t json_size(const char *s)
{
    writer count = {0};
    json_write(&count, s);
    return count.used;
}
