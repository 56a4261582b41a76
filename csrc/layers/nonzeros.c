/* Where the inputs of a batch are not zero. Four of five pixels of a handwritten digit are black: a product with them
   need not be computed. */
#include "layers/layer.h"

void nonzeros_turn(const nonzeros *z, int samples)
{
    for (size_t w = 0; w < z->row_words; w++)
        for (size_t c = 0; c < z->column_words; c++) {
            uint64_t bits[64] = {0};
            for (size_t i = 0; i < 64 && 64 * c + i < (size_t)samples; i++)
                bits[i] = z->rows[(64 * c + i) * z->row_words + w];
            kernels()->turn_bits(bits);
            for (size_t i = 0; i < 64; i++)
                z->columns[(64 * w + i) * z->column_words + c] = bits[i];
        }
}
