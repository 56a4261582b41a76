/* The model file: its exact bytes, the same bits after loading, checkpoints, failures of writing and reading. Prints
   how many checks it made. */
#define _GNU_SOURCE
#include "testing.h"

#include <math.h>

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static const char text[] = "input(3) dense(2) relu dense(2) softmax";
static char folder[] = "/tmp/pynet-test-XXXXXX", path[64];

static int files_in_folder(void)
{
    int n = -2; /* . and .. */
    DIR *d = opendir(folder);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static pn_net *through_a_file(pn_net *net)
{
    char err[PN_ERRLEN] = "";
    pn_net *again;
    CHECK(pn_net_save(net, path) == PN_OK);
    CHECK(files_in_folder() == 1); /* nothing temporary is left */
    if (pn_net_load(&again, path, err) != PN_OK) {
        printf("%s\n", err);
        exit(1);
    }
    SAME_TEXT(pn_net_spec(again), pn_net_spec(net));
    CHECK(hash(again) == hash(net));
    return again;
}

static void exact_bytes(void)
{
    pn_net *net = created("input(1) dense(2)", 5);
    pn_tensor t;
    CHECK(pn_net_tensor(net, 0, &t) == PN_OK);
    memcpy(t.data, (float[]){1, -2, 0.5f, 0}, 4 * sizeof(float));
    CHECK(pn_net_set_meta(net, "key", "a\"\n") == PN_OK);
    CHECK(pn_net_save(net, path) == PN_OK);
    char wanted[512] = "\xc8\0\0\0\0\0\0", got[512] = "";
    const char *const header =
        "{\"__metadata__\":{\"pynet\":\"input(1) dense(2)\",\"pynet.seed\":\"5\",\"key\":\"a\\\"\\u000a\"},"
        "\"0.W\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
        "\"0.b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}";
    snprintf(wanted + 8, sizeof wanted - 8, "%-200s", header); /* 0xc8 with the blanks up to a multiple of 8 */
    memcpy(wanted + 208, "\0\0\x80\x3f\0\0\0\xc0\0\0\0\x3f\0\0\0\0", 16); /* little-endian */
    FILE *from = fopen(path, "rb");
    CHECK(from && fread(got, 1, sizeof got, from) == 224);
    fclose(from);
    CHECK(memcmp(got, wanted, 224) == 0);
    pn_net_free(net);
}

static void every_bit(void)
{
    static const char *const specs[] = {
        text, "input(1) dense(1)", "input(1,2,3) tanh sigmoid",
        "input(2,4,4) conv(3,2) batchnorm residual(dense(5) relu) dense(3) sigmoid loss(bce)"};
    static const char *const notes[] = {"", "\"\\/\b\f\n\r\t\x01\x7f",
                                        "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbb\xbf", "pynet"};
    for (int s = 0; s < 4; s++) {
        pn_net *net = created(specs[s], UINT64_MAX - (uint64_t)s);
        uint32_t state = 3;
        pn_net_info info;
        pn_net_describe(net, &info);
        for (int i = 0; i < info.tensors; i++) {
            pn_tensor t;
            CHECK(pn_net_tensor(net, i, &t) == PN_OK);
            for (int64_t k = 0; k < t.size; k++) { /* any finite bits: the largest, denormals, -0 */
                uint32_t odd[] = {0x7f7fffff, 0xff7fffff, 0x80000001, 0x80000000, draw(&state) << 8 & 0xbfffffff};
                if (strstr(t.name, "running_var")) /* 0 or more, or -0 */
                    odd[1] = odd[2] = 1, odd[4] &= 0x7fffffff;
                memcpy(t.data + k, &odd[k % 5], 4);
            }
        }
        for (int k = 0; k < 4; k++) {
            char key[64];
            snprintf(key, sizeof key, "%d %s", k, notes[k]);
            CHECK(pn_net_set_meta(net, key, notes[(k + 1) % 4]) == PN_OK);
        }
        pn_net_set_updates(net, UINT64_MAX - 9);
        pn_net *again = through_a_file(net);
        pn_net_describe(again, &info);
        CHECK(info.seed == UINT64_MAX - (uint64_t)s && info.updates == UINT64_MAX - 9);
        for (int k = 0; k < 4; k++) {
            SAME_TEXT(pn_net_meta_key(again, k), pn_net_meta_key(net, k));
            SAME_TEXT(pn_net_meta_value(again, k), notes[(k + 1) % 4]);
        }
        CHECK(!pn_net_meta_key(again, 4));
        pn_net_free(net);
        pn_net_free(again);
    }
}

static pn_tensor tensor_of(pn_net *net, const char *name)
{
    pn_tensor t = {0};
    for (int i = 0; pn_net_tensor(net, i, &t) == PN_OK && strcmp(t.name, name) != 0;)
        i++;
    return t;
}

/* A parameter that loading refuses is refused by saving, to memory, too: the old file stays. */
static void invalid_parameters(void)
{
    static const struct {
        const char *name, *message;
        float value;
    } wrong[] = {
        {"1.W", "parameter 1.W holds nan at position 2; accepted: finite numbers", NAN},
        {"1.W", "parameter 1.W holds inf at position 2; accepted: finite numbers", INFINITY},
        {"2.running_mean", "parameter 2.running_mean holds -inf at position 2; accepted: finite numbers", -INFINITY},
        {"2.running_var", "parameter 2.running_var holds -1 at position 2; accepted: finite numbers, 0 or more", -1},
        {"0.scale", "parameter 0.scale holds 0 at position 2; accepted: numbers from 1.2e-38", 0},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        pn_net *net = created("input(3) standardize dense(3) batchnorm softmax", 0), *again = net;
        char err[PN_ERRLEN] = "", bytes[4096];
        const pn_checkpoint more = {.text = bytes + 4095};
        const pn_tensor t = tensor_of(net, wrong[i].name);
        size_t size = 0, unused;
        bytes[4095] = 0;
        const float good = t.data[2];
        CHECK(pn_net_save_memory(net, bytes, 4095, &size) == PN_OK);
        pn_net_free(through_a_file(net));
        t.data[2] = wrong[i].value;
        REFUSED(pn_net_save(net, path), PN_ERR_PARAMETER, wrong[i].message);
        REFUSED(pn_net_save_checkpoint(net, &more, path), PN_ERR_PARAMETER, wrong[i].message);
        REFUSED(pn_net_save_memory(net, NULL, 0, &unused), PN_ERR_PARAMETER, wrong[i].message);
        CHECK(unused == 0 && files_in_folder() == 1);
        CHECK(pn_net_load(&again, path, err) == PN_OK && tensor_of(again, wrong[i].name).data[2] == good);
        pn_net_free(again);

        const size_t end = (size_t)(tensor_of(net, "2.running_var").data + 3 - tensor_of(net, "1.W").data);
        const size_t at = (size_t)(t.data + 2 - tensor_of(net, "1.W").data);
        memcpy(bytes + size - 4 * (end - at), &wrong[i].value, 4); /* such a file from another program */
        CHECK(pn_net_load_memory(&again, bytes, size, err) == PN_ERR_FORMAT && !again);
        CHECK(strstr(err, wrong[i].message));
        pn_net_free(net);
    }
}

/* What could not be loaded again does not replace the file. */
static void wrong_tensors(pn_net *net, const pn_checkpoint *good)
{
    static const struct {
        pn_tensor tensor;
        const char *message;
    } wrong[] = {
        {{.name = "a", .rank = 1, .shape = {3}, .size = 2}, "tensor a has size 2; its shape has 3 numbers"},
        {{.name = "a", .rank = 1, .shape = {3}, .size = -3}, "tensor a has size -3; its shape has 3 numbers"},
        {{.name = "a", .rank = 1, .shape = {-3}, .size = 3}, "tensor a has -3 at axis 0 of its shape"},
        {{.name = "a", .rank = 2, .shape = {1LL << 62, 4}, .size = 0}, "tensor a has 4 at axis 1 of its shape"},
        {{.name = "a", .rank = 1, .shape = {1LL << 62}, .size = 1LL << 62}, "tensor a has size 4611686018427387904"},
        {{.name = "a", .rank = -1, .size = 1}, "tensor a has rank -1; accepted: 0 to 4"},
        {{.name = "a", .rank = 5, .shape = {1, 1, 1, 1}, .size = 1}, "tensor a has rank 5; accepted: 0 to 4"},
        {{.name = "rate", .size = 1}, "tensor rate is given twice"},
        {{.name = NULL, .size = 1}, "tensor without a name"},
    };
    float number[3] = {1, 2, 3};
    pn_tensor two[2] = {good->tensor[2]};
    pn_checkpoint more = {.text = good->text, .tensors = 2, .tensor = two}, got;
    pn_net *again;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        two[1] = wrong[i].tensor;
        two[1].data = number;
        REFUSED(pn_net_save_checkpoint(net, &more, path), PN_ERR_ARGUMENT, wrong[i].message);
    }
    two[1] = (pn_tensor){.name = "a", .size = 1};
    REFUSED(pn_net_save_checkpoint(net, &more, path), PN_ERR_ARGUMENT, "the data of tensor a is NULL");
    more.tensor = NULL;
    REFUSED(pn_net_save_checkpoint(net, &more, path), PN_ERR_ARGUMENT,
            "the list of 2 tensors in the checkpoint is NULL");
    more.tensors = -1;
    REFUSED(pn_net_save_checkpoint(net, &more, path), PN_ERR_ARGUMENT, "-1 tensors in the checkpoint; accepted: 0 to ");
    more = (pn_checkpoint){.tensors = 1 << 20, .tensor = two};
    REFUSED(pn_net_save_checkpoint(net, &more, path), PN_ERR_ARGUMENT, "the text of the checkpoint is NULL");
    more.text = good->text;
    REFUSED(pn_net_save_checkpoint(net, &more, path), PN_ERR_ARGUMENT, "1048576 tensors in the checkpoint");
    REFUSED(pn_net_save_checkpoint(net, NULL, path), PN_ERR_ARGUMENT, "the checkpoint is NULL");
    CHECK(pn_net_load_checkpoint(&again, &got, path, NULL) == PN_OK && got.tensors == 3 && hash(again) == hash(net));
    pn_checkpoint_free(&got);
    pn_checkpoint_free(NULL);
    pn_net_free(again);
}

static void checkpoints(void)
{
    float step[] = {1.5f, -0.0f, 3, 4, 5, 6}, nothing = 0, rate = 0.25f;
    pn_tensor extra[] = {{.name = "best.0.W", .rank = 2, .shape = {3, 2}, .size = 6, .data = step},
                         {.name = "a_1", .rank = 1, .shape = {0}, .size = 0, .data = &nothing},
                         {.name = "rate", .size = 1, .data = &rate}};
    char words[] = "epoch \"3\"\n\xc3\xa9", err[PN_ERRLEN] = "";
    const pn_checkpoint more = {.text = words, .tensors = 3, .tensor = extra};
    pn_checkpoint got;
    pn_net *net = created(text, 5), *again, *plain;
    CHECK(pn_net_save_checkpoint(net, &more, path) == PN_OK && files_in_folder() == 1);
    CHECK(pn_net_load(&plain, path, err) == PN_OK && hash(plain) == hash(net)); /* a model, too */
    CHECK(pn_net_load_checkpoint(&again, &got, path, err) == PN_OK && hash(again) == hash(net));
    SAME_TEXT(got.text, words);
    CHECK(got.tensors == 3);
    for (int i = 0; i < got.tensors; i++) {
        const pn_tensor *t = &got.tensor[i]; /* in any order */
        int k = 0;
        while (k < 2 && strcmp(t->name, extra[k].name) != 0)
            k++;
        SAME_TEXT(t->name, extra[k].name);
        CHECK(t->rank == extra[k].rank && t->size == extra[k].size);
        CHECK(memcmp(t->shape, extra[k].shape, sizeof t->shape) == 0);
        CHECK(memcmp(t->data, extra[k].data, (size_t)t->size * sizeof(float)) == 0);
    }
    pn_checkpoint_free(&got);
    CHECK(!got.text && !got.tensor && got.tensors == 0);
    pn_checkpoint_free(&got); /* twice is allowed */
    pn_net_free(again);
    pn_net_free(plain);

    static const char *const wrong[] = {"", "0.W", "_a", "a b", "a\"", "\xc3\xa9"};
    for (int i = 0; i < 6; i++) {
        extra[1].name = wrong[i];
        REFUSED(pn_net_save_checkpoint(net, &more, path), PN_ERR_ARGUMENT, "its name begins with a letter");
    }
    extra[1].name = "a_1";
    wrong_tensors(net, &more);
    words[9] = '\xff';
    REFUSED(pn_net_save_checkpoint(net, &more, path), PN_ERR_ARGUMENT, "the text of the checkpoint is not UTF-8");
    CHECK(pn_net_save(net, path) == PN_OK);
    CHECK(pn_net_load_checkpoint(&again, &got, path, err) == PN_ERR_FORMAT && !again && !got.text && !got.tensor);
    CHECK(strstr(err, "it is a model, but no checkpoint"));
    pn_net_free(net);
}

/* Memory has the bytes of a file; a buffer one byte short is refused with both sizes. */
static void in_memory(void)
{
    pn_net *net = created(text, 5);
    size_t size = 0, again = 0;
    CHECK(pn_net_set_meta(net, "key", "a\"\n") == PN_OK && pn_net_save(net, path) == PN_OK);
    CHECK(pn_net_save_memory(net, NULL, 0, &size) == PN_OK && size > 100);
    char *bytes = malloc(size), *file = malloc(size + 1), message[64];
    CHECK(bytes && file && pn_net_save_memory(net, bytes, size, &again) == PN_OK && again == size);
    FILE *from = fopen(path, "rb");
    CHECK(from && fread(file, 1, size + 1, from) == size && memcmp(file, bytes, size) == 0);
    fclose(from);
    snprintf(message, sizeof message, "the buffer has %zu bytes; the model takes %zu", size - 1, size);
    memset(bytes, '#', size);
    REFUSED(pn_net_save_memory(net, bytes, size - 1, &again), PN_ERR_ARGUMENT, message);
    CHECK(again == size && bytes[0] == '#' && bytes[size - 1] == '#'); /* nothing is written */
    free(bytes);
    free(file);
    pn_net_free(net);
}

/* All notes together take at most 24 MiB of the file, whichever were replaced or removed; a long one beside the most
   notes costs each of them nothing. */
static void long_notes(void)
{
    enum { LIMIT = 24 << 20, AROUND = 2 * (3 + 2 + 2) }; /* the texts of two notes: key, quotes, a colon and a comma */
    pn_net *net = created(text, 5);
    char *value = calloc(LIMIT, 1);
    CHECK(value != NULL);
    memset(value, 'x', LIMIT - AROUND - 9);
    CHECK(pn_net_set_meta(net, "a", "123456789") == PN_OK && pn_net_set_meta(net, "b", value) == PN_OK);
    REFUSED(pn_net_set_meta(net, "a", "1234567890"), PN_ERR_ARGUMENT, "all notes take 25165825 bytes");
    CHECK(strcmp(pn_net_meta(net, "a"), "123456789") == 0);
    REFUSED(pn_net_set_meta(net, "", ""), PN_ERR_ARGUMENT, "with note \"\" all notes take 25165830 bytes");
    CHECK(pn_net_set_meta(net, "a", "1234") == PN_OK && pn_net_set_meta(net, "", "") == PN_ERR_ARGUMENT);
    CHECK(pn_net_set_meta(net, "a", "123") == PN_OK && pn_net_set_meta(net, "", "") == PN_OK);
    CHECK(pn_net_set_meta(net, "none", NULL) == PN_OK && pn_net_set_meta(net, "", "x") == PN_ERR_ARGUMENT);
    CHECK(pn_net_set_meta(net, "a", NULL) == PN_OK && pn_net_set_meta(net, "", "1234567890") == PN_OK);
    CHECK(pn_net_set_meta(net, "", "12345678901") == PN_ERR_ARGUMENT);
    value[LIMIT / 2] = '\0';
    CHECK(pn_net_set_meta(net, "b", value) == PN_OK);
    for (int i = 0; i < 4090; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        CHECK(pn_net_set_meta(net, key, "") == PN_OK);
    }
    pn_net_free(through_a_file(net));
    pn_net_free(net);
    free(value);
}

/* After a failure of writing the old file is unchanged, and there is no temporary file. */
static void refusals(void)
{
    pn_net *net = created(text, 5), *again;
    char other[80], err[PN_ERRLEN] = "";
    struct stat st;
    pn_net_free(through_a_file(net));
    umask(022); /* of the test program alone */
    CHECK(chmod(path, 0662) == 0 && pn_net_save(net, path) == PN_OK);
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0662); /* keeps its mode, also what a new file would not get */

    const pn_checkpoint bad = {.text = (char[]){"\xff"}}; /* not UTF-8 */
    REFUSED(pn_net_save_checkpoint(net, &bad, path), PN_ERR_ARGUMENT, "the text of the checkpoint is not UTF-8");
    CHECK(pn_net_load(&again, path, err) == PN_OK && hash(again) == hash(net));
    pn_net_free(again);
    for (int i = 0; i < 4092; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        CHECK(pn_net_set_meta(net, key, "") == PN_OK);
    }
    pn_net_free(through_a_file(net));
    REFUSED(pn_net_set_meta(net, "one more", ""), PN_ERR_ARGUMENT, "one too many; accepted: 4092");
    CHECK(pn_net_set_meta(net, "0", "another") == PN_OK && pn_net_meta_key(net, 4092) == NULL);

    pn_net_free(net);
    net = created(text, 6);
    REFUSED(pn_net_save(net, folder), PN_ERR_IO, "it is a folder");
    CHECK(errno == EISDIR);
    snprintf(other, sizeof other, "%s/none/m", folder);
    REFUSED(pn_net_save(net, other), PN_ERR_IO, "No such file or directory");
    CHECK(errno == ENOENT);
    REFUSED(pn_net_save(net, "/dev/null"), PN_ERR_IO, "it is not a regular file");
    CHECK(pn_net_load(&again, folder, err) == PN_ERR_IO && !again && errno == EISDIR);
    CHECK(pn_net_load(&again, "/dev/null", err) == PN_ERR_IO && !again && errno == EINVAL);
    CHECK(unlink(path) == 0);
    CHECK(pn_net_load(&again, path, err) == PN_ERR_IO && !again && errno == ENOENT);

    pn_checkpoint more;
    CHECK(pn_net_load(&again, NULL, err) == PN_ERR_ARGUMENT && !again && strstr(err, "path"));
    CHECK(pn_net_load(&again, "/nowhere", NULL) == PN_ERR_IO && !again);
    CHECK(pn_net_load_checkpoint(&again, NULL, "/nowhere", NULL) == PN_ERR_ARGUMENT);
    CHECK(pn_net_load_checkpoint(&again, &more, NULL, NULL) == PN_ERR_ARGUMENT);
    REFUSED(pn_net_save(net, NULL), PN_ERR_ARGUMENT, "path");

    snprintf(other, sizeof other, "%s/link", folder); /* a symbolic link is kept */
    CHECK(symlink(path, other) == 0);
    REFUSED(pn_net_save(net, other), PN_ERR_IO, "it is a link to a file that does not exist");
    CHECK(files_in_folder() == 1);
    CHECK(pn_net_save(net, path) == PN_OK && pn_net_save(net, other) == PN_OK);
    CHECK(lstat(other, &st) == 0 && S_ISLNK(st.st_mode) && files_in_folder() == 2);
    CHECK(unlink(other) == 0);
    pn_net_free(net);
}

int main(void)
{
    CHECK(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/m", folder);
    exact_bytes();
    in_memory();
    every_bit();
    invalid_parameters();
    checkpoints();
    long_notes();
    refusals();
    CHECK(unlink(path) == 0 && rmdir(folder) == 0);
    printf("file: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
