/* Networks of every kind of layer and loss, trained on each kernel table of this CPU: SHA-256 of their parameters, which
   no compiler, option or machine may change. Texts, data and the sums for tables with fused multiply-add are those of
   tests/golden. Prints how many checks it made. */
#include "testing.h"

#include <math.h>
#include <stdbool.h>

enum { ROWS = 40, BATCH = 9, EPOCHS = 2, MOST = 16 * 7 * 6 /* inputs of a sample */ };

static const struct {
    const char *text, *fused, *portable;
} golden[] = {
    {"input(64) dense(12) relu dense(10,init=normal,bias=no) softmax",
     "9190674bc78abe2b2ea1601a81dfaf546955e2be196ed01249cc0467a07475fc",
     "6a899edd408764aae10e9769fd089055fa409e37ce177e377636683609f27e87"},
    {"input(9) dense(7) leaky_relu(0.2) dense(6) gelu dense(5) sigmoid dense(4) tanh dense(3) softmax "
     "loss(cross_entropy,smoothing=0.1)",
     "9c6a35aa393f94065f5edf926cfe35da6fa184bd34ecd9bd0a66ac02fffb4f10",
     "af2684c9f953c0c5b89fd70a39863d171ce2f53d38dd41068e9d71850fe49479"},
    {"input(2,9,8) conv(4,3,stride=2,pad=same) batchnorm(eps=0.001,momentum=0.2) relu maxpool(2,stride=1) "
     "conv(3,2,bias=no) avgpool(2,stride=1) flatten dense(4) loss(mse)",
     "6bd6031a37652fe0091cc2c69e3ea903928f0c63b785ee9249c5e54b1f1e95f7",
     "d9770f5a5f2a9c39382d97c259bf7b5ff5c37c203a099ef9bda17addd1240b40"},
    {"input(1,6,6) residual(conv(3,3,stride=2,pad=1) relu residual(conv(3,1) batchnorm)) globalavgpool "
     "dropout(0.25) layernorm(eps=0.001) residual(dense(5) tanh) dense(2) sigmoid loss(bce)",
     "0507e7146c2d29d0423192d13f59e8d0b5ef10499b4bf221d903afaf501c85dd",
     "e419eaddec6243ff6056e3bbe8e2ae7919c5922edf5f407b1322bee5b0755d75"},
    {"input(3) dense(4) tanh dense(1) loss(mae)", "495e8762fe3d7bde97ab4cb56ed6e2f72394725612702b4ad65deaf107622eac",
     "d9aee541a92d664e8ab87194bc8a0c010b9a575745ce391e401f440623a76f61"},
    {"input(4) standardize dense(5) relu dense(2) rescale loss(huber,delta=0.25)",
     "7c89e5fe9ba817afd981c60b150ff1eaa5c8dac74471ca1e863475c81341fcce",
     "0ba435ff291ea2ea52d474650c6e30cfa3d6aff94dbf1a849d4d595a00517019"},
    {"input(4) dense(5) relu dense(3) sigmoid loss(bce)",
     "9893409100357247b67af1eb376ae114a412deeb6e105ee13f8b3da49ad90109",
     "1e718190ff7e6d2ccb6e0c2d0385a5cee93abff100e57d30210edb54a8d048ca"},
    {"input(2,5,4) standardize conv(3,2) relu dense(6) tanh dense(2) rescale",
     "2b11bdc8aa7ceba907f4172c03b9ade29afa005df7b46a1e8e23247137a20086",
     "8d586fb8d78a10c59a842626037867c5aec118245f097b33eb610cce71d59f1b"},
    {"input(16,7,6) conv(16,3,pad=1) batchnorm relu residual(conv(16,3,pad=same) relu) globalavgpool dense(3) softmax",
     "1f5573b743a60a40fd3102d082822adea621d877a4425e71d55958cbdd1b493f",
     "48a3bc877d51e1bde63c8c8a67374bfeb504b345ce7003c4ed22dedac5865230"},
};

/* ---- SHA-256 (FIPS 180-4) ---- */

static uint32_t h[8], k[64];
static uint8_t block[64];
static size_t filled;
static uint64_t bits;

/* Its constants are the first 32 fractional bits of square roots and cube roots of the first primes. */
static uint32_t fraction(double root)
{
    return (uint32_t)((root - floor(root)) * 0x1p32);
}

static void begin_sum(void)
{
    for (int number = 2, primes = 0; primes < 64; number++) {
        int divisor = 2;
        while (number % divisor)
            divisor++;
        if (divisor < number)
            continue;
        if (primes < 8)
            h[primes] = fraction(sqrt(number));
        k[primes++] = fraction(cbrt(number));
    }
    filled = 0;
    bits = 0;
}

static uint32_t rotated(uint32_t x, int by)
{
    return x >> by | x << (32 - by);
}

static void add_block(void)
{
    uint32_t w[64], s[8];
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 64; i++) {
        if (i < 16) {
            const uint8_t *p = block + 4 * i;
            w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        } else {
            const uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + (rotated(a, 7) ^ rotated(a, 18) ^ a >> 3) + w[i - 7] +
                   (rotated(b, 17) ^ rotated(b, 19) ^ b >> 10);
        }
        const uint32_t e = s[4], a = s[0];
        const uint32_t one =
            s[7] + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + k[i] + w[i];
        const uint32_t two =
            (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += one;
        s[0] = one + two;
    }
    for (int i = 0; i < 8; i++)
        h[i] += s[i];
    filled = 0;
}

static void add_byte(uint8_t byte)
{
    block[filled++] = byte;
    if (filled == sizeof block)
        add_block();
}

static void add_bytes(const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        add_byte(((const uint8_t *)bytes)[i]);
    bits += 8 * n;
}

/* In hexadecimal; valid until the next call. */
static const char *end_sum(void)
{
    static char text[65];
    add_byte(0x80);
    while (filled != sizeof block - 8)
        add_byte(0);
    for (int shift = 56; shift >= 0; shift -= 8)
        add_byte((uint8_t)(bits >> shift));
    for (int i = 0; i < 8; i++)
        snprintf(text + 8 * i, 9, "%08x", (unsigned)h[i]);
    return text;
}

static void sum_of_a_text(void)
{
    begin_sum();
    add_bytes("abc", 3);
    SAME_TEXT(end_sum(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* ---- training ---- */

/* Bytes that look random, as in tests/golden/make.py. */
static void ramp(uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)((uint64_t)i * 2654435761u >> 24);
}

static const char *trained(const char *text)
{
    static uint8_t x[ROWS * MOST], y[ROWS * MOST];
    static float targets[ROWS * MOST];
    int32_t labels[ROWS], order[ROWS];
    pn_net *net = created(text, 7);
    pn_net_info info;
    pn_net_describe(net, &info);
    const size_t outputs = (size_t)info.out_features;
    ramp(x, ROWS * (size_t)info.in_features);
    ramp(y, ROWS * outputs);
    for (size_t i = 0; i < ROWS * outputs; i++)
        targets[i] = (float)y[i] / 255;
    for (int i = 0; i < ROWS; i++)
        labels[i] = i % (int)outputs;
    pn_data data = {.x = x, .dtype = PN_UINT8, .n = ROWS};
    if (info.loss == PN_CROSS_ENTROPY)
        data.labels = labels;
    else
        data.targets = targets;
    if (strstr(text, "standardize"))
        CHECK(pn_net_adapt(net, &data, NULL, ROWS) == PN_OK);
    pn_optim sgd;
    pn_optim_default(&sgd, PN_SGD);
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        pn_shuffle(order, ROWS, 7, epoch);
        CHECK(pn_net_train(net, &data, order, ROWS, BATCH, &sgd, NULL) == PN_OK);
    }
    begin_sum();
    for (int i = 0; i < info.tensors; i++) {
        pn_tensor t;
        CHECK(pn_net_tensor(net, i, &t) == PN_OK);
        add_bytes(t.data, (size_t)t.size * sizeof *t.data);
    }
    pn_net_free(net);
    return end_sum();
}

int main(void)
{
    sum_of_a_text();
    for (int i = 0; pn_cpu_table(i); i++) {
        CHECK(pn_set_cpu(pn_cpu_table(i)) == PN_OK);
        const bool fused = strcmp(pn_cpu(), "portable") != 0;
        for (size_t n = 0; n < sizeof golden / sizeof *golden; n++)
            SAME_TEXT(trained(golden[n].text), fused ? golden[n].fused : golden[n].portable);
    }
    printf("golden: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
