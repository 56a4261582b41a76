/* Damaged model files: invalid headers, truncated files and files with any byte changed are refused with a message, or
   give a network with the shapes of its text. Prints how many checks it made. */
#define _GNU_SOURCE
#include "testing.h"

#include <unistd.h>

static char path[] = "/tmp/pynet-test-XXXXXX";

/* The header of a valid file with a note; its data are the numbers 0 to 13. */
static const char whole[] =
    "{\"__metadata__\":{\"pynet\":\"input(3) dense(2) relu dense(2) softmax\",\"pynet.seed\":\"7\","
    "\"colour\":\"blue\"},"
    "\"0.W\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]},"
    "\"0.b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]},"
    "\"2.W\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[32,48]},"
    "\"2.b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[48,56]}}";
enum { NUMBERS = 14, LARGEST = 4096 };

static void write_bytes(const void *bytes, size_t size)
{
    FILE *to = fopen(path, "wb");
    CHECK(to && fwrite(bytes, 1, size, to) == size && fclose(to) == 0);
}

/* A file with this header and the numbers 0, 1, 2 ...; returns its *size bytes. */
static const unsigned char *make_file(const char *header, size_t *size)
{
    static unsigned char bytes[LARGEST];
    const size_t n = strlen(header);
    float data[NUMBERS];
    for (int i = 0; i < NUMBERS; i++)
        data[i] = (float)i;
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)n >> 8 * i);
    memcpy(bytes + 8, header, n);
    memcpy(bytes + 8 + n, data, sizeof data);
    *size = 8 + n + sizeof data;
    return bytes;
}

/* `whole` with one part replaced by another; a ^ in it is removed, and *mark is its byte offset, or -1. */
static const char *changed(const char *old, const char *new, int *mark)
{
    static char header[LARGEST];
    const char *at = strstr(whole, old);
    CHECK(at && !strstr(at + 1, old));
    snprintf(header, sizeof header, "%.*s%s%s", (int)(at - whole), whole, new, at + strlen(old));
    char *sign = strchr(header, '^');
    *mark = sign ? (int)(sign - header) : -1;
    if (sign)
        memmove(sign, sign + 1, strlen(sign));
    return header;
}

/* The message without its opening. */
static const char *after(const char *err, const char *opening)
{
    CHECK(strncmp(err, opening, strlen(opening)) == 0);
    return err + strlen(opening);
}

/* Loads the file at path from memory, in a block of its size, so that the sanitizer detects reads past it. */
static const char *memory_message(pn_status expected)
{
    static char err[PN_ERRLEN];
    pn_net *net = NULL;
    FILE *from = fopen(path, "rb");
    CHECK(from && fseek(from, 0, SEEK_END) == 0);
    const size_t size = (size_t)ftell(from);
    void *bytes = malloc(size ? size : 1);
    rewind(from);
    CHECK(bytes && fread(bytes, 1, size, from) == size && fclose(from) == 0);
    const pn_status status = pn_net_load_memory(&net, bytes, size, err);
    CHECK(status == expected && (net != NULL) == (status == PN_OK));
    free(bytes);
    pn_net_free(net);
    return status == PN_OK ? "" : after(err, "cannot read the model: ");
}

/* The message of loading the file at path, without the path; "" if it succeeds. From memory it is the same. */
static const char *load_message(pn_status expected)
{
    static char err[PN_ERRLEN];
    char opening[128];
    pn_net *net = NULL;
    const pn_status status = pn_net_load(&net, path, err);
    CHECK(status == expected && (net != NULL) == (status == PN_OK));
    pn_net_free(net);
    snprintf(opening, sizeof opening, "cannot read %s: ", path);
    const char *message = status == PN_OK ? "" : after(err, opening);
    SAME_TEXT(memory_message(expected), message);
    return message;
}

static void damaged_headers(void)
{
    static const char *const rows[][3] = {
        /* old, new with a ^ before the byte that the message names, message */
        {"[48,56]", "[52,56]", "tensor 2.b begins at byte 52 of the data, after a gap at 48"},
        {"[48,56]", "[44,56]", "tensor 2.b begins at byte 44 of the data, inside one that ends at 48"},
        {"[48,56]", "[48,64]", "its tensors take 64 bytes, but 56 follow the header: it was cut short"},
        {"[48,56]", "[48,52]", "its tensors take 52 bytes, but 56 follow the header"},
        {"[48,56]", "[56,48]^", "tensor 2.b begins at 56 and ends at 48"},
        {"[48,56]", "[48,18446744073709551615]",
         "its tensors take 18446744073709551615 bytes, but 56 follow the header: it was cut short"},
        {"56]", "^18446744073709551616]", "expected a whole number from 0 to 18446744073709551615"},
        {"56]", "^-8]", "expected a whole number from 0 to 18446744073709551615"},
        {"56]", "^056]", "expected a whole number from 0 to 18446744073709551615"},
        {"56]", "^56.0]", "expected a whole number from 0 to 18446744073709551615"},
        {"[48,56]", "[48^]", "expected ','"},
        {"[48,56]", "[48,56^,]", "expected ']'"},
        {"[2,2]", "[4]", "tensor 2.W has shape (4,), its network takes (2, 2)"},
        {"[2,2]", "[]", "tensor 2.W has shape (), its network takes (2, 2)"},
        {"[2,2]", "[9223372036854775808,2]", "tensor 2.W has shape (9223372036854775808, 2), its network takes (2, 2)"},
        {"[2,2]", "[1,1,1,1,1,1,1,1,1]",
         "tensor 2.W has shape (1, 1, 1, 1, 1, 1, 1, 1, ...), its network takes (2, 2)"},
        {"F32\",\"shape\":[2,2]", "F16\",\"shape\":[2,2]", "tensor 2.W has dtype F16, its network takes F32"},
        {"48]},\"2.b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[48,",
         "44]},\"2.b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[44,",
         "tensor 2.W of shape (2, 2) takes 16 bytes, not 12"},
        {"\"shape\":[2,2],\"data_offsets\":[32,48]}", "\"data_offsets\":[32,48]}^",
         "tensor 2.W lacks dtype, shape or data_offsets"},
        {"\"shape\":[2,2],", "\"size\":^[2,2],", "unknown field size; an entry has dtype, shape and data_offsets"},
        {"\"shape\":[2,2],", "\"shape\":[2,2],\"shape\":^[2,2],", "shape is given twice"},
        {"2.b", "2.W", "tensor 2.W is given twice"},
        {"2.b", "2\\u002eW", "tensor 2.W is given twice"},
        {"2.b", "2.c", "tensor 2.b is missing"},
        {"\"2.b\"", "\"x\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[48,48]},\"2.b\"",
         "its network has no tensor x"},
        {"\"2.b\"", "\"__metadata__\":^{},\"2.b\"", "__metadata__ is given twice"},
        {"\"colour\":\"blue\"", "\"colour\":\"blue\",\"colour\":^\"red\"", "note colour is given twice"},
        {"\"blue\"", "^1", "expected '\"'"},
        {"blue", "^\\ud83d", "an escape that is not a character"},
        {"blue", "^\\u0000", "an escape that is not a character"},
        {"blue", "bl^\nue", "a string without an end"},
        {"blue", "bl^\xc0\x80", "text that is not UTF-8"},
        {"blue", "^\xed\xa0\x80", "text that is not UTF-8"},
        {"[48,56]}}", "[48,56]}} ^{", "something after the closing '}'"},
        {"{\"__metadata__\"", "^[\"__metadata__\"", "expected '{'; this is no safetensors file"},
        {"\"7\"", "\"-1\"", "\"pynet.seed\" is -1, not a whole number of 64 bits"},
        {"\"7\"", "\"18446744073709551616\"", "\"pynet.seed\" is 18446744073709551616, not a whole number of 64 bits"},
        {"\"pynet\"", "\"other\"",
         "it is a safetensors file but holds no pynet network (key \"pynet\" in __metadata__)"},
        {"input(3) dense(2)", "input(3) dens(2)",
         "its network: column 10: unknown layer \"dens\"; did you mean dense?"},
        {"input(3)", "input(4)", "tensor 0.W has shape (3, 2), its network takes (4, 2)"},
        {"input(3) dense(2)", "input(16777216) dense(100)",
         "tensor 0.W has shape (3, 2), its network takes (16777216, 100)"},
        {"softmax", "dense(2)", "tensor 3.W is missing"},
        {"\"colour\":\"blue\"}",
         "\"pynet.checkpoint\":\"\"},\"x\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]"
         "}",
         "tensor x of shape (4294967296, 4294967296) and dtype F32 takes 0 bytes"},
        {" relu dense(2) softmax", "", "its network has no tensor 2.W"},
    };
    size_t size;
    int mark;
    const unsigned char *bytes;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char wanted[PN_ERRLEN];
        bytes = make_file(changed(rows[i][0], rows[i][1], &mark), &size);
        write_bytes(bytes, size);
        snprintf(wanted, sizeof wanted, "byte %d of the header: %s", mark, rows[i][2]);
        SAME_TEXT(load_message(PN_ERR_FORMAT), mark < 0 ? rows[i][2] : wanted);
    }
    static const char *const same[][2] = {
        /* other ways to write the same */
        {"\"colour\":\"blue\"", " \"\\u0063\\u006Flour\"\t:\r\n\"bl\\u0075e\" "},
        {"[48,56]}}", "[ 48 , 56 ] } }   "},
        {"\"7\"", "\"7\",\"pynet.later\":\"of a later version\""},
        {"\"shape\":[2,2],\"data_offsets\":[32,48]", "\"data_offsets\":[32,48],\"shape\":[2,2]"}};
    for (int i = 0; i < 4; i++) {
        char err[PN_ERRLEN] = "";
        pn_net *net;
        pn_tensor t;
        bytes = make_file(changed(same[i][0], same[i][1], &mark), &size);
        write_bytes(bytes, size);
        CHECK(pn_net_load(&net, path, err) == PN_OK);
        SAME_TEXT(err, "");
        if (!net)
            continue;
        SAME_TEXT(pn_net_meta_key(net, 0), "colour");
        SAME_TEXT(pn_net_meta_value(net, 0), "blue");
        CHECK(pn_net_tensor(net, 3, &t) == PN_OK && t.data[0] == 12 && t.data[1] == 13);
        pn_net_free(net);
    }
}

/* Truncated anywhere, longer, or with any byte changed: refused, or a network with the same shapes. */
static void damaged_bytes(void)
{
    static unsigned char other[LARGEST];
    size_t size;
    const unsigned char *bytes = make_file(whole, &size);
    write_bytes(bytes, size);
    SAME_TEXT(load_message(PN_OK), "");
    for (size_t n = 0; n < size; n++) {
        write_bytes(bytes, n);
        CHECK(load_message(PN_ERR_FORMAT)[0]);
    }
    memcpy(other, bytes, size);
    write_bytes(other, size + 3);
    SAME_TEXT(load_message(PN_ERR_FORMAT), "its tensors take 56 bytes, but 59 follow the header");
    int accepted = 0;
    for (size_t at = 0; at < size; at++) {
        char err[PN_ERRLEN] = "";
        pn_net *net;
        other[at] ^= 1;
        write_bytes(other, size);
        const pn_status status = pn_net_load(&net, path, err);
        CHECK(status == (net ? PN_OK : PN_ERR_FORMAT) && (net || err[0]));
        if (net) {
            pn_net_info info;
            pn_net_describe(net, &info);
            CHECK(info.tensors == 4 && info.parameters == NUMBERS);
        }
        accepted += net != NULL;
        pn_net_free(net);
        other[at] ^= 1;
    }
    /* the data, colour and blue, and all of pynet.seed, which becomes another note, and its 7 */
    CHECK(accepted == 4 * NUMBERS + 6 + 4 + 10 + 1);

    static const struct {
        uint64_t length;
        const char *message;
    } lengths[] = {
        {0, "byte 0 of the header: expected '{'; this is no safetensors file"},
        {3, "byte 0 of the header: expected '{'; this is no safetensors file"},
        {443, "its header claims 443 bytes; at most 33554432 are allowed and 0 are there"},
        {UINT64_MAX, "its header claims 18446744073709551615 bytes; at most 33554432 are allowed and 0 are there"},
    };
    for (int i = 0; i < 4; i++) {
        unsigned char few[11] = {0};
        for (int k = 0; k < 8; k++)
            few[k] = (unsigned char)(lengths[i].length >> 8 * k);
        write_bytes(few, i == 1 ? 11 : 8);
        CHECK(strncmp(load_message(PN_ERR_FORMAT), lengths[i].message, strlen(lengths[i].message)) == 0);
    }
    write_bytes(bytes, 7);
    SAME_TEXT(load_message(PN_ERR_FORMAT), "7 bytes are too few for a safetensors file");
}

/* Headers of the maximum length, full of empty tensors, of notes, or of blanks: refused early. */
static void long_headers(void)
{
    static const struct {
        const char *piece, *message;
    } rows[] = {
        {"\"%07d\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},", "more than 131072 tensors"},
        {"\"%07d\":{\"dtype\":\"\",\"shape\":[],\"data_offsets\":[0,0]},", "more than 131072 tensors"},
        {"\"__metadata__\":{\"%07d\":\"\"},", "__metadata__ is given twice"},
        {"                             %7d", "expected '\"'"},
    };
    const size_t size = 32 << 20;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t written = 9;
        FILE *to = fopen(path, "wb");
        CHECK(to);
        if (!to)
            return;
        for (int k = 0; k < 8; k++)
            fputc((int)(size >> 8 * k & 255), to);
        fputc('{', to);
        for (int n = 0; written < size + 8; n++)
            written += (size_t)fprintf(to, rows[i].piece, n);
        CHECK(fclose(to) == 0);
        CHECK(strstr(load_message(PN_ERR_FORMAT), rows[i].message));
    }
    write_bytes("\1\0\0\2\0\0\0", 8);
    CHECK(truncate(path, 8 + size + 1) == 0); /* one byte above the limit: not read at all */
    SAME_TEXT(load_message(PN_ERR_FORMAT),
              "its header claims 33554433 bytes; at most 33554432 are allowed and 33554433 are there: this is no "
              "safetensors file, or it was cut short");
}

int main(void)
{
    const int file = mkstemp(path);
    CHECK(file >= 0 && close(file) == 0);
    damaged_headers();
    damaged_bytes();
    long_headers();
    CHECK(unlink(path) == 0);
    printf("damaged: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
