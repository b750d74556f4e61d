// Token selection and the weighted increment on a CPU, forward and backward, in float32.
//
// Every function takes all tokens of a batch as rows of C channels, and goes over them once.

#include <algorithm>
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

// The k most important tokens of each image, in descending order, of equal ones the lower index
// first: as keys of 64 bits, importance above index, no two are equal. Importances are not negative,
// so that their bits are in their order.
void token_rank(const float* importance, int64_t* indices, int64_t n_batch, int64_t length,
                int64_t k, int32_t threads) {
#pragma omp parallel for num_threads(threads)
    for (int64_t batch = 0; batch < n_batch; batch++) {
        std::vector<uint64_t> keys(length);
        for (int64_t i = 0; i < length; i++) {
            uint32_t bits;
            memcpy(&bits, importance + batch * length + i, sizeof bits);
            keys[i] = (uint64_t)~bits << 32 | (uint32_t)i;
        }
        if (k < length) std::nth_element(keys.begin(), keys.begin() + k, keys.end());
        std::sort(keys.begin(), keys.begin() + k);
        for (int64_t i = 0; i < k; i++) indices[batch * k + i] = (uint32_t)keys[i];
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
        for_vectors(n, [=](int64_t c, int64_t count) {
            store(result + row * n + c, load(s + c, count) + w * load(increment + c, count), count);
        });
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
