/* Augmentation: each training step sees a random affine and elastic distortion of each image. All distortions are
   combined in one map from output to input coordinates, and the image is resampled once, bilinearly. Random numbers are
   a function of seed, step and row of the batch, as for dropout. */
#include "arrays/arrays.h"

#include <math.h>
#include <string.h>

enum {
    MARGIN = 3, /* nodes of the elastic grid outside each edge: farther ones have weights near 0 */
    AFFINE = 6  /* random numbers of the affine part; those of the grid follow */
};

struct augmenter {
    pn_augment options;
    int channels, height, width;
    int nodes_down, nodes_across;
    int threads;
    float *down;         /* (height, nodes_down): weight of each grid node in each row */
    float *across;       /* (nodes_across, width): weight of each grid node in each column */
    size_t scratch_size; /* of a thread */
    float *scratch;
};

/* The pieces of a thread's scratch. */
typedef struct {
    float *out, *bordered, *random, *half, *dx, *dy;
} pieces;

static pieces pieces_of(const augmenter *a, int thread, size_t *size)
{
    const size_t positions = (size_t)a->height * (size_t)a->width,
                 nodes = (size_t)a->nodes_down * (size_t)a->nodes_across;
    const size_t sizes[] = {(size_t)a->channels * positions,
                            (size_t)(a->height + BORDER) * (size_t)(a->width + BORDER),
                            AFFINE + 2 * nodes,
                            (size_t)a->height * (size_t)a->nodes_across,
                            positions,
                            positions};
    float *piece[sizeof sizes / sizeof *sizes];
    size_t used = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        piece[i] = a->scratch ? a->scratch + (size_t)thread * a->scratch_size + used : NULL;
        used += padded((int64_t)sizes[i]);
    }
    if (size)
        *size = used;
    return (pieces){piece[0], piece[1], piece[2], piece[3], piece[4], piece[5]};
}

static pn_status check(const pn_augment *options, const shape *sample, int *height, int *width, char *err)
{
    const struct {
        const char *name;
        double value, limit; /* below which it is accepted */
    } numbers[] = {{"shift", options->shift, 1e6},
                   {"rotate", options->rotate, 360},
                   {"scale", options->scale, 1},
                   {"shear", options->shear, 90},
                   {"elastic", options->elastic, 1e6}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!(numbers[i].value >= 0 && numbers[i].value < numbers[i].limit))
            return fail(err, PN_ERR_ARGUMENT, "%s of the augmentation is %g; accepted: 0 to below %g", numbers[i].name,
                        numbers[i].value, numbers[i].limit);
    const bool image = sample->rank == 3;
    *height = options->height || !image ? options->height : (int)sample->dim[1];
    *width = options->width || !image ? options->width : (int)sample->dim[2];
    if (!*height && !*width)
        return fail(err, PN_ERR_ARGUMENT,
                    "augmentation needs pictures: this network takes %s, and no height and width are given",
                    show_shape(sample).text);
    if (*height < 1 || *width < 1 || shape_size(sample) % ((int64_t)*height * *width) ||
        (image && (*height != sample->dim[1] || *width != sample->dim[2])))
        return fail(err, PN_ERR_ARGUMENT, "augmentation of pictures %d by %d; this network takes %s", *height, *width,
                    show_shape(sample).text);
    return PN_OK;
}

/* to[i * place + j * node] = weight of node j at coordinate i: a Gaussian whose standard deviation is `spacing`, the
   distance of two nodes. The squares of the weights of a coordinate sum to 1, so that its offset has the same standard
   deviation as those of nodes. */
static void smoothing_weights(float *to, int size, int nodes, double spacing, size_t place, size_t node)
{
    for (int i = 0; i < size; i++) {
        double squares = 0;
        for (int j = 0; j < nodes; j++)
            squares += exp(-pow(i / spacing - (j - MARGIN), 2));
        for (int j = 0; j < nodes; j++)
            to[(size_t)i * place + (size_t)j * node] =
                (float)(exp(-pow(i / spacing - (j - MARGIN), 2) / 2) / sqrt(squares));
    }
}

/* The distance of two nodes of the elastic grid. */
static double spacing_of(const augmenter *a)
{
    return (a->height + a->width) / 14.0;
}

/* An augmenter without memory. */
static pn_status plan(augmenter *a, const pn_augment *options, const shape *sample, int threads, char *err)
{
    int height = 0, width = 0;
    const pn_status status = check(options, sample, &height, &width, err);
    if (status)
        return status;
    *a = (augmenter){.options = *options,
                     .channels = (int)(shape_size(sample) / ((int64_t)height * width)),
                     .height = height,
                     .width = width,
                     .threads = threads};
    a->nodes_down = (int)ceil((height - 1) / spacing_of(a)) + 1 + 2 * MARGIN;
    a->nodes_across = (int)ceil((width - 1) / spacing_of(a)) + 1 + 2 * MARGIN;
    pieces_of(a, 0, &a->scratch_size);
    return PN_OK;
}

static size_t down_size(const augmenter *a)
{
    return padded((int64_t)a->height * a->nodes_down);
}

/* The floats of its memory: down, across, scratch. */
static size_t floats_of(const augmenter *a)
{
    return down_size(a) + padded((int64_t)a->width * a->nodes_across) + (size_t)a->threads * a->scratch_size;
}

static bool serves(const augmenter *a, const augmenter *wanted)
{
    return a && a->height == wanted->height && a->width == wanted->width && a->channels == wanted->channels &&
           a->threads >= wanted->threads;
}

pn_status augmenter_set(augmenter **a, const pn_augment *options, const shape *sample, int threads, char *err)
{
    augmenter new;
    const pn_status status = plan(&new, options, sample, threads, err);
    if (status)
        return status;
    if (serves(*a, &new)) {
        (*a)->options = *options;
        return PN_OK;
    }
    augmenter *made = memory_zeros(1, sizeof *made);
    new.down = made ? memory_zeros(floats_of(&new), sizeof *new.down) : NULL;
    if (!new.down) {
        memory_free(made);
        return fail(err, PN_ERR_MEMORY, "no memory to augment pictures %d by %d", new.height, new.width);
    }
    new.across = new.down + down_size(&new);
    new.scratch = new.down + floats_of(&new) - (size_t)threads * new.scratch_size;
    smoothing_weights(new.down, new.height, new.nodes_down, spacing_of(&new), (size_t)new.nodes_down, 1);
    smoothing_weights(new.across, new.width, new.nodes_across, spacing_of(&new), 1, (size_t)new.width);
    augmenter *const old = *a;
    *made = new;
    *a = made; /* first: a child process must not see a pointer to freed memory */
    augmenter_free(old);
    return PN_OK;
}

const pn_augment *augmenter_options(const augmenter *a)
{
    return &a->options;
}

uint64_t augmenter_size(const augmenter *a, const pn_augment *options, const shape *sample, int threads)
{
    augmenter new;
    if (options && plan(&new, options, sample, threads, NULL) == PN_OK && !serves(a, &new))
        a = &new;
    return a ? memory_size(sizeof *a) + memory_size((uint64_t)floats_of(a) * sizeof *a->down) : 0;
}

void augmenter_free(augmenter *a)
{
    if (!a)
        return;
    memory_free(a->down);
    memory_free(a);
}

/* C (m,n) = A (m,k) B (k,n) */
static void smooth_product(float *C, const float *A, const float *B, int m, int n, int k)
{
    const gemm_args g = {.C = C,
                         .A = A,
                         .B = B,
                         .ldc = (size_t)n,
                         .row_a = (size_t)k,
                         .col_a = 1,
                         .ldb = (size_t)n,
                         .m = m,
                         .n = n,
                         .k = k};
    kernels()->gemm(&g);
}

/* d (height, width) = offset of each pixel along one axis, from random numbers at the nodes of the grid. */
static void elastic_offsets(const augmenter *a, float *d, float *half, const float *nodes)
{
    const float deviation = 1.7320508f; /* makes uniform numbers in [-1, 1) have standard deviation 1 */
    smooth_product(half, a->down, nodes, a->height, a->nodes_across, a->nodes_down);
    smooth_product(d, half, a->across, a->height, a->width, a->nodes_across);
    kernels()->scale(d, (size_t)a->height * (size_t)a->width, deviation * (float)a->options.elastic);
}

/* The affine part of the map; see pn_augment. */
static resampling affine_map(const augmenter *a, const float *u)
{
    const double degree = 3.14159265358979323846 / 180;
    const double angle = a->options.rotate * degree * (double)u[2],
                 shear = tan(a->options.shear * degree * (double)u[5]);
    const double across = 1 / (1 + a->options.scale * (double)u[3]), down = 1 / (1 + a->options.scale * (double)u[4]);
    const double xx = cos(angle) * across, xy = (cos(angle) * shear - sin(angle)) * down;
    const double yx = sin(angle) * across, yy = (sin(angle) * shear + cos(angle)) * down;
    const double middle_x = (a->width - 1) / 2.0, middle_y = (a->height - 1) / 2.0;
    return (resampling){
        .height = a->height,
        .width = a->width,
        .xx = (float)xx,
        .xy = (float)xy,
        .x0 = (float)(middle_x - xx * middle_x - xy * middle_y + a->options.shift * (double)u[0]),
        .yx = (float)yx,
        .yy = (float)yy,
        .y0 = (float)(middle_y - yx * middle_x - yy * middle_y + a->options.shift * (double)u[1]),
    };
}

const float *augmented_sample(const augmenter *a, int thread, const void *x, pn_dtype dtype, uint64_t seed,
                              uint64_t step, uint32_t row)
{
    const size_t height = (size_t)a->height, width = (size_t)a->width, positions = height * width;
    const size_t nodes = a->options.elastic > 0 ? (size_t)a->nodes_down * (size_t)a->nodes_across : 0;
    const pieces p = pieces_of(a, thread, NULL);
    random_uniform(p.random, AFFINE + 2 * nodes, seed, step, row);
    resampling r = affine_map(a, p.random);
    if (nodes) {
        elastic_offsets(a, p.dx, p.half, p.random + AFFINE);
        elastic_offsets(a, p.dy, p.half, p.random + AFFINE + nodes);
        r.dx = p.dx;
        r.dy = p.dy;
    }
    for (size_t c = 0; c < (size_t)a->channels; c++) {
        for (size_t i = 0; i < height; i++) {
            float *to = p.bordered + (i + 1) * (width + BORDER) + 1;
            const size_t at = c * positions + i * width;
            if (dtype == PN_UINT8)
                kernels()->scale_u8(to, (const uint8_t *)x + at, width);
            else
                memcpy(to, (const float *)x + at, width * sizeof *to);
        }
        kernels()->resample(p.out + c * positions, p.bordered, &r);
    }
    return p.out;
}

void pn_augment_default(pn_augment *options, int height, int width)
{
    const double sides = (double)height + width;
    if (!options)
        return;
    *options = (pn_augment){.shift = sides / 56,
                            .rotate = 8,
                            .scale = 0.08,
                            .shear = 4,
                            .elastic = sides / 80,
                            .height = height,
                            .width = width};
}

pn_status pn_augmented(float *y, const void *x, pn_dtype dtype, int64_t n, int channels, const pn_augment *options,
                       uint64_t seed, uint64_t step, char err[PN_ERRLEN])
{
    char unused[PN_ERRLEN];
    err = err ? err : unused;
    if (!options || n < 0 || (n > 0 && (!x || !y)))
        return fail(err, PN_ERR_ARGUMENT, "%s is %s; accepted: 0 or more pictures, and memory for them",
                    !options ? "options"
                    : n < 0  ? "n"
                    : !x     ? "x"
                             : "y",
                    n < 0 ? "below 0" : "NULL");
    if (dtype != PN_UINT8 && dtype != PN_FLOAT32)
        return fail(err, PN_ERR_ARGUMENT, "dtype is %d; accepted: PN_UINT8, PN_FLOAT32", (int)dtype);
    augmenter *a = NULL;
    const shape picture = {.rank = 3, .dim = {channels, options->height, options->width}};
    if (channels < 1 || options->height < 1 || options->width < 1 ||
        (double)channels * options->height * options->width > MAX_FEATURES)
        return fail(err, PN_ERR_ARGUMENT, "pictures (%d, %d, %d); accepted: 1 or more on each axis, at most %d numbers",
                    channels, options->height, options->width, MAX_FEATURES);
    if (n > PTRDIFF_MAX / (int64_t)sizeof(float) / shape_size(&picture))
        return fail(err, PN_ERR_ARGUMENT, "%lld pictures; accepted: at most %lld of this size", (long long)n,
                    (long long)(PTRDIFF_MAX / (int64_t)sizeof(float) / shape_size(&picture)));
    pn_status status = augmenter_set(&a, options, &picture, 1, err);
    if (status)
        return status;
    const size_t size = (size_t)shape_size(&picture), bytes = size * (dtype == PN_UINT8 ? 1 : sizeof(float));
    const unsigned long fp = fp_enter();
    for (size_t i = 0; i < (size_t)n; i++)
        memcpy(y + i * size, augmented_sample(a, 0, (const char *)x + i * bytes, dtype, seed, step, (uint32_t)i),
               size * sizeof *y);
    fp_leave(fp);
    augmenter_free(a);
    return PN_OK;
}
