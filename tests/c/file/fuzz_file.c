/* Fuzzes pn_net_load and pn_net_load_checkpoint; saving and loading what they accept must give the same bits.
 * `make fuzz` builds and runs it.
 *
 * Input: the bytes of a file, or, when they begin with '{', a header up to the last '}' and the data after it: the
 * fuzzer need not find the header's length.
 */
#include "net/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition) ((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static char path[64], copy[64];

static void remove_files(void)
{
    unlink(path);
    unlink(copy);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    snprintf(path, sizeof path, "/dev/shm/fuzz-%ld.safetensors", (long)getpid());
    snprintf(copy, sizeof copy, "/dev/shm/copy-%ld.safetensors", (long)getpid());
    atexit(remove_files);
    return 0;
}

static void write_input(const uint8_t *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    CHECK(f);
    if (size > 0 && data[0] == '{') {
        size_t n = size;
        while (n > 1 && data[n - 1] != '}')
            n--;
        for (int i = 0; i < 8; i++)
            fputc((int)(n >> 8 * i & 0xFF), f);
    }
    fwrite(data, 1, size, f);
    CHECK(fclose(f) == 0);
}

static void check_same(const pn_net *a, const pn_net *b)
{
    CHECK(strcmp(a->spec, b->spec) == 0 && a->seed == b->seed && a->n_notes == b->n_notes);
    CHECK(a->n_parameters == b->n_parameters);
    CHECK(a->n_parameters == 0 ||
          memcmp(a->parameters, b->parameters, (a->n_parameters + a->n_running) * sizeof(float)) == 0);
    CHECK(a->n_running == b->n_running && a->updates == b->updates);
    for (int i = 0; i < a->n_notes; i++)
        CHECK(strcmp(a->notes[i].key, b->notes[i].key) == 0 && strcmp(a->notes[i].value, b->notes[i].value) == 0);
}

static void check_same_checkpoint(const pn_checkpoint *a, const pn_checkpoint *b)
{
    CHECK(strcmp(a->text, b->text) == 0 && a->tensors == b->tensors);
    for (int i = 0; i < a->tensors; i++) {
        const pn_tensor *x = &a->tensor[i], *y = &b->tensor[i];
        CHECK(strcmp(x->name, y->name) == 0 && x->rank == y->rank && x->size == y->size);
        CHECK(memcmp(x->data, y->data, (size_t)x->size * sizeof(float)) == 0);
        double size = 1;
        for (int d = 0; d < x->rank; d++) {
            CHECK(x->shape[d] == y->shape[d] && x->shape[d] >= 0);
            size *= (double)x->shape[d];
        }
        CHECK(size == (double)x->size);
    }
}

static void load_checkpoint(void)
{
    pn_net *net, *again;
    pn_checkpoint more, more_again;
    char err[PN_ERRLEN] = "";
    pn_status status = pn_net_load_checkpoint(&net, &more, path, err);
    CHECK((status == PN_OK) == (net != NULL) && (status == PN_OK || (err[0] && !more.tensors)));
    if (status != PN_OK)
        return;
    CHECK(pn_net_save_checkpoint(net, &more, copy) == PN_OK);
    CHECK(pn_net_load_checkpoint(&again, &more_again, copy, err) == PN_OK);
    check_same(net, again);
    check_same_checkpoint(&more, &more_again);
    pn_net_free(net);
    pn_net_free(again);
    pn_checkpoint_free(&more);
    pn_checkpoint_free(&more_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pn_net *net, *again;
    char err[PN_ERRLEN] = "";
    size_t saved = 0;
    write_input(data, size);
    load_checkpoint();
    pn_status status = pn_net_load(&net, path, err);
    CHECK((status == PN_OK) == (net != NULL) && (status == PN_OK || err[0]));
    if (status != PN_OK)
        return 0;
    CHECK(pn_net_save_memory(net, NULL, 0, &saved) == PN_OK);
    void *bytes = malloc(saved);
    CHECK(bytes && pn_net_save_memory(net, bytes, saved, &saved) == PN_OK);
    CHECK(pn_net_load_memory(&again, bytes, saved, err) == PN_OK);
    check_same(net, again);
    free(bytes);
    pn_net_free(net);
    pn_net_free(again);
    return 0;
}
