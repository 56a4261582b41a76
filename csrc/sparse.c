/* Where the inputs of a batch are not zero. Four of five pixels of a handwritten digit are black: a product with them
   need not be computed. */
#include "internal.h"

/* Turns a 64 by 64 matrix of bits over, in six rounds that swap blocks of 32, 16, ... 1 (Warren 2002, section 7-3). */
static void turn(uint64_t bits[64])
{
    uint64_t low = 0xffffffff;
    for (unsigned size = 32; size; size /= 2, low ^= low << size)
        for (unsigned block = 0; block < 64; block += 2 * size)
            for (unsigned i = block; i < block + size; i++) {
                uint64_t swap = (bits[i] >> size ^ bits[i + size]) & low;
                bits[i] ^= swap << size;
                bits[i + size] ^= swap;
            }
}

void nonzeros_turn(const nonzeros *z, int samples)
{
    for (size_t w = 0; w < z->row_words; w++)
        for (size_t c = 0; c < z->column_words; c++) {
            uint64_t bits[64] = {0};
            for (size_t i = 0; i < 64 && 64 * c + i < (size_t)samples; i++)
                bits[i] = z->rows[(64 * c + i) * z->row_words + w];
            turn(bits);
            for (size_t i = 0; i < 64; i++)
                z->columns[(64 * w + i) * z->column_words + c] = bits[i];
        }
}
