// Token selection and the weighted increment on a CPU, forward and backward, in float32.
//
// Every function takes all tokens of a batch as rows of C channels, and goes over them once.

#include <vector>

#include "vector.h"

namespace {

constexpr int64_t TASK = 64;  // rows per task

inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

inline float dot(const float* a, const float* b, int64_t n) {
    constexpr int ABREAST = 4;
    Vec sums[ABREAST] = {};
    for (int64_t c = 0; c < n; c += ABREAST * LANES)
        for (int i = 0; i < ABREAST; i++) {
            const int64_t at = c + i * LANES;
            if (at < n) sums[i] += load(a + at, n - at) * load(b + at, n - at);
        }
    return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// out = a * s, or out += a * s
inline void scale(float* out, float a, const float* s, int64_t n) {
    for (int64_t c = 0; c < n; c += LANES) store(out + c, a * load(s + c, n - c), n - c);
}

inline void add_scaled(float* out, float a, const float* s, int64_t n) {
    for (int64_t c = 0; c < n; c += LANES)
        store(out + c, load(out + c, n - c) + a * load(s + c, n - c), n - c);
}

}  // namespace

extern "C" {

// The scores of all rows, and the means of every `width` of them unless that pointer is null.
void token_scores(const float* tokens, const float* weight, float* scores, float* means,
                  int64_t n_rows, int64_t n_channels, int64_t width, int32_t threads) {
    const int64_t n = n_channels, n_tasks = (n_rows + width - 1) / width;
#pragma omp parallel for num_threads(threads)
    for (int64_t task = 0; task < n_tasks; task++) {
        float* mean = means ? means + task * n : nullptr;
        if (mean) memset(mean, 0, n * sizeof(float));
        for (int64_t row = task * width; row < min(task * width + width, n_rows); row++) {
            scores[row] = dot(tokens + row * n, weight, n);
            if (mean) add_scaled(mean, 1, tokens + row * n, n);
        }
        if (mean) scale(mean, 1.0f / width, mean, n);
    }
}

// ranks: for a token that was selected its row among the selected ones of all images, else -1.
void token_scores_backward(const float* d_selected, const float* d_scores, const float* d_means,
                           const float* tokens, const float* weight, const int32_t* ranks,
                           float* d_tokens, float* d_weights, int64_t n_rows, int64_t n_channels,
                           int64_t width, int32_t threads) {
    const int64_t n = n_channels, n_tasks = (n_rows + TASK - 1) / TASK;
#pragma omp parallel for num_threads(threads)
    for (int64_t task = 0; task < n_tasks; task++) {
        float* d_weight = d_scores ? d_weights + task * n : nullptr;
        if (d_weight) memset(d_weight, 0, n * sizeof(float));
        for (int64_t row = task * TASK; row < min(task * TASK + TASK, n_rows); row++) {
            float* out = d_tokens + row * n;
            if (d_selected && ranks[row] >= 0)
                memcpy(out, d_selected + ranks[row] * n, n * sizeof(float));
            else
                memset(out, 0, n * sizeof(float));
            if (d_means) add_scaled(out, 1.0f / width, d_means + row / width * n, n);
            if (d_scores) {
                add_scaled(out, d_scores[row], weight, n);
                add_scaled(d_weight, d_scores[row], tokens + row * n, n);
            }
        }
    }
}

void token_update(const float* tokens, const float* updated, const int32_t* ranks,
                  const float* importance, float* result, int64_t n_rows, int64_t n_channels,
                  int64_t update_unselected, int32_t threads) {
    const int64_t n = n_channels;
#pragma omp parallel for num_threads(threads)
    for (int64_t row = 0; row < n_rows; row++) {
        const float* s = tokens + row * n;
        const float* increment = ranks[row] >= 0 ? updated + ranks[row] * n : s;
        const float w = ranks[row] >= 0 || update_unselected ? importance[row] : 0;
        for (int64_t c = 0; c < n; c += LANES)
            store(result + row * n + c, load(s + c, n - c) + w * load(increment + c, n - c), n - c);
    }
}

void token_update_backward(const float* d_result, const float* tokens, const float* updated,
                           const int32_t* ranks, const float* importance, float* d_tokens,
                           float* d_updated, float* d_importance, int64_t n_rows,
                           int64_t n_channels, int64_t update_unselected, int32_t threads) {
    const int64_t n = n_channels;
#pragma omp parallel for num_threads(threads)
    for (int64_t row = 0; row < n_rows; row++) {
        const float* d = d_result + row * n;
        const float w = importance[row];
        if (ranks[row] >= 0) {
            memcpy(d_tokens + row * n, d, n * sizeof(float));
            scale(d_updated + ranks[row] * n, w, d, n);
            d_importance[row] = dot(d, updated + ranks[row] * n, n);
        } else {
            scale(d_tokens + row * n, update_unselected ? 1 + w : 1, d, n);
            d_importance[row] = update_unselected ? dot(d, tokens + row * n, n) : 0;
        }
    }
}
}
