// Token selection and the weighted update on a CPU, forward and backward, in float32.
//
// Tokens are the rows of C channels of B images of L rows; only token_scores and token_scatter go
// over all of them, once.

#include <algorithm>
#include <cmath>
#include <vector>

#include "vector.h"

namespace {

constexpr int64_t TASK = 64;  // rows per task

inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

// Calls function(c, count) for the vectors of a row; count is a constant for all but the last.
template <class Function>
inline void for_vectors(int64_t n, Function function) {
    int64_t c = 0;
    for (; c + LANES <= n; c += LANES) function(c, (int64_t)LANES);
    if (c < n) function(c, n - c);
}

inline float dot(const float* a, const float* b, int64_t n) {
    Vec sums[2] = {};
    int64_t c = 0;
    for (; c + 2 * LANES <= n; c += 2 * LANES)
        for (int i = 0; i < 2; i++) sums[i] += load(a + c + i * LANES) * load(b + c + i * LANES);
    for (; c < n; c += LANES) sums[0] += load(a + c, n - c) * load(b + c, n - c);
    return sum(sums[0] + sums[1]);
}

inline float inverse_rms(const float* x, int64_t n, float eps) {
    return 1 / std::sqrt(dot(x, x, n) / n + eps);
}

// out = a * s, or out += a * s
inline void scale(float* out, float a, const float* s, int64_t n) {
    for_vectors(n, [=](int64_t c, int64_t count) { store(out + c, a * load(s + c, count), count); });
}

inline void add_scaled(float* out, float a, const float* s, int64_t n) {
    for_vectors(n, [=](int64_t c, int64_t count) {
        store(out + c, load(out + c, count) + a * load(s + c, count), count);
    });
}

}  // namespace

extern "C" {

// The scores of all rows, and the means of every `width` of them unless that pointer is null.
void token_scores(const float* tokens, const float* scorer, float* scores, float* means,
                  int64_t n_rows, int64_t n_channels, int64_t width, float eps, int32_t threads) {
    const int64_t n = n_channels, n_tasks = (n_rows + width - 1) / width;
#pragma omp parallel for num_threads(threads)
    for (int64_t task = 0; task < n_tasks; task++) {
        float* mean = means ? means + task * n : nullptr;
        if (mean) memset(mean, 0, n * sizeof(float));
        for (int64_t row = task * width; row < min(task * width + width, n_rows); row++) {
            const float* x = tokens + row * n;
            scores[row] = dot(x, scorer, n) * inverse_rms(x, n, eps);
            if (mean) add_scaled(mean, 1, x, n);
        }
        if (mean) scale(mean, 1.0f / width, mean, n);
    }
}

// The k highest scores of each image, of equal ones the lower index, in ascending order of index:
// as keys of 64 bits, score above index, no two are equal. The bits of floats are in their order
// when those of negative ones are inverted.
void token_best(const float* scores, int64_t* indices, int64_t n_batch, int64_t length, int64_t k,
                int32_t threads) {
#pragma omp parallel for num_threads(threads)
    for (int64_t batch = 0; batch < n_batch; batch++) {
        std::vector<uint64_t> keys(length);
        for (int64_t i = 0; i < length; i++) {
            const float score = scores[batch * length + i] + 0.0f;  // no -0
            uint32_t bits;
            memcpy(&bits, &score, sizeof bits);
            bits ^= bits >> 31 ? 0u : 0x7fffffffu;  // the highest first
            keys[i] = (uint64_t)bits << 32 | (uint32_t)i;
        }
        if (k < length) std::nth_element(keys.begin(), keys.begin() + k, keys.end());
        int64_t* out = indices + batch * k;
        for (int64_t i = 0; i < k; i++) out[i] = (uint32_t)keys[i];
        std::sort(out, out + k);
    }
}

// The norm of the means, then of the selected tokens; and what is normalized, unless `rows` is null.
void token_gather(const float* tokens, const float* norm_weight, const int64_t* indices,
                  const float* means, float* normed, float* rows, int64_t n_batch, int64_t length,
                  int64_t n_channels, int64_t n_means, int64_t k, float eps, int32_t threads) {
    const int64_t n = n_channels, n_rows = n_means + k;
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < n_batch * n_rows; i++) {
        const int64_t batch = i / n_rows, row = i % n_rows;
        const float* x = row < n_means
                             ? means + (batch * n_means + row) * n
                             : tokens + (batch * length + indices[batch * k + row - n_means]) * n;
        const float r = inverse_rms(x, n, eps);
        if (rows) memcpy(rows + i * n, x, n * sizeof(float));
        for_vectors(n, [=](int64_t c, int64_t count) {
            const Vec y = r * load(x + c, count) * load(norm_weight + c, count);
            store(normed + i * n + c, y, count);
        });
    }
}

// Gradients of rows before their norm; of the scorer and the norm's weight one sum for each task.
void token_norm_backward(const float* d_normed, const float* d_kept_scores, const float* rows,
                         const float* scorer, const float* norm_weight, float* d_rows,
                         float* d_weights, int64_t n_total, int64_t n_channels, int64_t n_rows,
                         int64_t n_means, float eps, int32_t threads) {
    const int64_t n = n_channels, n_tasks = (n_total + TASK - 1) / TASK;
#pragma omp parallel for num_threads(threads)
    for (int64_t task = 0; task < n_tasks; task++) {
        float *d_scorer = d_weights + task * n, *d_norm = d_weights + (n_tasks + task) * n;
        memset(d_scorer, 0, n * sizeof(float));
        memset(d_norm, 0, n * sizeof(float));
        for (int64_t i = task * TASK; i < min(task * TASK + TASK, n_total); i++) {
            const int64_t batch = i / n_rows, row = i % n_rows;
            const float *x = rows + i * n, *d = d_normed + i * n;
            const float r = inverse_rms(x, n, eps);
            const float d_score =
                row < n_means ? 0 : d_kept_scores[batch * (n_rows - n_means) + row - n_means];
            float* out = d_rows + i * n;  // first the gradient of what is normalized, x r
            for_vectors(n, [=](int64_t c, int64_t count) {
                const Vec v = r * load(x + c, count), d_v = load(d + c, count);
                store(d_norm + c, load(d_norm + c, count) + d_v * v, count);
                store(d_scorer + c, load(d_scorer + c, count) + d_score * v, count);
                const Vec d_row = d_v * load(norm_weight + c, count);
                store(out + c, d_row + d_score * load(scorer + c, count), count);
            });
            const float mean = dot(out, x, n) * r / n;
            for_vectors(n, [=](int64_t c, int64_t count) {
                const Vec v = r * load(x + c, count);
                store(out + c, r * (load(out + c, count) - mean * v), count);
            });
        }
    }
}

// Gradients of rows become those of tokens. ranks: the row of a token that was selected, else -1.
void token_scatter(const float* d_rows, const int32_t* ranks, float* d_tokens, int64_t n_batch,
                   int64_t length, int64_t n_channels, int64_t n_rows, int64_t width,
                   int32_t threads) {
    const int64_t n = n_channels;
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < n_batch * length; i++) {
        const float* image = d_rows + i / length * n_rows * n;
        float* out = d_tokens + i * n;
        if (width) scale(out, 1.0f / width, image + i % length / width * n, n);
        else memset(out, 0, n * sizeof(float));
        if (ranks[i] >= 0) add_scaled(out, 1, image + ranks[i] * n, n);
    }
}

void token_update(float* tokens, const float* increment, const int64_t* indices,
                  const float* weight, int64_t n_batch, int64_t k, int64_t length,
                  int64_t n_channels, int32_t threads) {
    const int64_t n = n_channels;
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < n_batch * k; i++)
        add_scaled(tokens + (i / k * length + indices[i]) * n, weight[i], increment + i * n, n);
}

void token_update_backward(const float* d_tokens, const float* increment, const int64_t* indices,
                           const float* weight, float* d_increment, float* d_weight,
                           int64_t n_batch, int64_t k, int64_t length, int64_t n_channels,
                           int32_t threads) {
    const int64_t n = n_channels;
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < n_batch * k; i++) {
        const float* d = d_tokens + (i / k * length + indices[i]) * n;
        scale(d_increment + i * n, weight[i], d, n);
        d_weight[i] = dot(d, increment + i * n, n);
    }
}
}
