// Causal depthwise convolution with SiLU on a CPU, forward and backward, in float32.

#include <vector>

#include "vector.h"

namespace {

constexpr int MAX_WIDTH = 8;
constexpr int64_t TILE = 64;  // tokens per task
constexpr int GROUP = 4;      // vectors side by side: one alone would wait for its own results
#define EACH for (int j = 0; j < GROUP; j++)

inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

// Vector j of a row of which `count` channels are left.
inline Vec load_part(const float* p, int j, int64_t count) {
    return count > j * LANES ? load(p + j * LANES, count - j * LANES) : Vec{};
}

}  // namespace

// x (B, L, D) with a stride per token; weight (W, D) and bias (D, zeros if absent) contiguous.
struct Convolution {
    const float *x, *weight, *bias;
    int64_t x_stride, n_batch, length, n_channels, width;
    int32_t first, last;  // directions: 0 is forward, 1 is reverse
};

namespace {

// The token that weight i of the sum for `token` reads; it may lie outside of the sequence.
inline int64_t source(const Convolution& c, int direction, int64_t token, int64_t i) {
    const int64_t distance = c.width - 1 - i;
    return direction == 0 ? token - distance : token + distance;
}

// The sum for a token, before SiLU, in the channels from `channel` on.
inline Vec convolve(const Convolution& c, int direction, int64_t batch, int64_t token,
                    int64_t channel, int64_t count) {
    Vec sum = load(c.bias + channel, count);
    for (int64_t i = 0; i < c.width; i++) {
        const int64_t t = source(c, direction, token, i);
        if (t < 0 || t >= c.length) continue;
        sum += load(c.weight + i * c.n_channels + channel, count) *
               load(c.x + (batch * c.length + t) * c.x_stride + channel, count);
    }
    return sum;
}

// GROUP vectors of channels of one direction of a token; FULL if there are so many.
template <bool FULL>
inline void forward_group(const Convolution& c, const float* const* rows, float* out,
                          int64_t channel) {
    const int64_t count = FULL ? GROUP * LANES : c.n_channels - channel;
    Vec sum[GROUP], gate[GROUP];
    EACH sum[j] = load_part(c.bias + channel, j, count);
    for (int64_t i = 0; i < c.width; i++)
        EACH sum[j] += load_part(c.weight + i * c.n_channels + channel, j, count) *
                       load_part(rows[i] + channel, j, count);
    EACH gate[j] = sum[j];
    sigmoid(gate);
    EACH if (count > j * LANES) store(out + j * LANES, sum[j] * gate[j], count - j * LANES);
}

void forward_token(const Convolution& c, float* y, int64_t batch, int64_t token,
                   const float* zeros) {
    for (int direction = c.first; direction <= c.last; direction++) {
        const float* rows[MAX_WIDTH];
        for (int64_t i = 0; i < c.width; i++) {
            const int64_t t = source(c, direction, token, i);
            const bool inside = t >= 0 && t < c.length;
            rows[i] = inside ? c.x + (batch * c.length + t) * c.x_stride : zeros;
        }
        const int64_t row = (direction - c.first) * c.n_batch + batch;
        float* out = y + (row * c.length + token) * c.n_channels;
        int64_t channel = 0;
        for (; channel + GROUP * LANES <= c.n_channels; channel += GROUP * LANES)
            forward_group<true>(c, rows, out + channel, channel);
        for (; channel < c.n_channels; channel += GROUP * LANES)
            forward_group<false>(c, rows, out + channel, channel);
    }
}

void backward_task(const Convolution& c, const float* dy, float* dx, float* dweight, float* dbias,
                   int64_t batch, int64_t channel) {
    const int64_t count = min(c.n_channels - channel, LANES), reach = c.width - 1;
    Vec weight[MAX_WIDTH], weight_sum[MAX_WIDTH] = {}, bias_sum = {};
    for (int64_t i = 0; i < c.width; i++)
        weight[i] = load(c.weight + i * c.n_channels + channel, count);
    for (int64_t start = 0; start < c.length; start += TILE) {
        const int64_t stop = min(start + TILE, c.length);
        const int64_t before = max(start - reach, 0), after = min(stop + reach, c.length);
        Vec x[TILE + 2 * MAX_WIDTH], grad[TILE + 2 * MAX_WIDTH], dx_tile[TILE] = {};
        for (int64_t t = before; t < after; t++)
            x[t - before] = load(c.x + (batch * c.length + t) * c.x_stride + channel, count);
        for (int direction = c.first; direction <= c.last; direction++) {
            const int64_t row = (direction - c.first) * c.n_batch + batch;
            // gradients of the sums that read from this tile; those of this tile count for the
            // weights
            for (int64_t t = before; t < after; t++) {
                const Vec sum = convolve(c, direction, batch, t, channel, count);
                const Vec gate = sigmoid(sum);
                const Vec g = load(dy + (row * c.length + t) * c.n_channels + channel, count) *
                              gate * (1.0f + sum * (1.0f - gate));
                grad[t - before] = g;
                if (t < start || t >= stop) continue;
                bias_sum += g;
                for (int64_t i = 0; i < c.width; i++) {
                    const int64_t from = source(c, direction, t, i);
                    if (from >= 0 && from < c.length) weight_sum[i] += g * x[from - before];
                }
            }
            for (int64_t t = start; t < stop; t++)
                for (int64_t i = 0; i < c.width; i++) {
                    const int64_t reader = 2 * t - source(c, direction, t, i);
                    if (reader >= 0 && reader < c.length)
                        dx_tile[t - start] += weight[i] * grad[reader - before];
                }
        }
        for (int64_t t = start; t < stop; t++)
            store(dx + (batch * c.length + t) * c.n_channels + channel, dx_tile[t - start], count);
    }
    for (int64_t i = 0; i < c.width; i++)
        store(dweight + (batch * c.width + i) * c.n_channels + channel, weight_sum[i], count);
    store(dbias + batch * c.n_channels + channel, bias_sum, count);
}

}  // namespace

extern "C" {

// y: (K, B, L, D).
void causal_conv1d_forward(const Convolution* convolution, float* y, int32_t threads) {
    const Convolution& c = *convolution;
    const int64_t tiles = (c.length + TILE - 1) / TILE;
    const std::vector<float> zeros(c.n_channels);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t task = 0; task < c.n_batch * tiles; task++) {
        const int64_t batch = task / tiles, start = task % tiles * TILE;
        for (int64_t t = start; t < min(start + TILE, c.length); t++)
            forward_token(c, y, batch, t, zeros.data());
    }
}

// dx: (B, L, D). Images are summed by the caller: dweight (B, W, D), dbias (B, D).
void causal_conv1d_backward(const Convolution* convolution, const float* dy, float* dx,
                            float* dweight, float* dbias, int32_t threads) {
    const Convolution& c = *convolution;
    const int64_t vectors = (c.n_channels + LANES - 1) / LANES;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t task = 0; task < c.n_batch * vectors; task++)
        backward_task(c, dy, dx, dweight, dbias, task / vectors, task % vectors * LANES);
}
}
