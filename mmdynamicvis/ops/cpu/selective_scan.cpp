// Selective scan on a CPU, forward and backward, in float32.
//
// A task is an image and a block of channels; it runs through both directions, so that nothing is
// written by two tasks. Within a task the lanes of a vector are channels, and the states of a group
// of channels stay in the first-level cache.

#include <memory>

#include "vector.h"

namespace {

constexpr int GROUP = 4;  // vectors side by side: their dependent chains overlap
constexpr int64_t WIDTH = GROUP * LANES;
constexpr int MAX_STATES = 64;
constexpr int AHEAD = 4;  // tokens
constexpr int CHUNK = 64;  // tokens whose states the backward pass recomputes and keeps at once

struct Group {
    Vec v[GROUP];
    Vec& operator[](int i) { return v[i]; }
    const Vec& operator[](int i) const { return v[i]; }
};

inline Group load_group(const float* p, int64_t count) {
    Group group;
    if (count >= WIDTH) {
        for (int i = 0; i < GROUP; i++) group[i] = load(p + i * LANES);
        return group;
    }
    for (int i = 0; i < GROUP; i++) {
        const int64_t left = count - i * LANES;
        group[i] = left > 0 ? load(p + i * LANES, left) : Vec{};
    }
    return group;
}

inline void store_group(float* p, const Group& group, int64_t count) {
    if (count >= WIDTH) {
        for (int i = 0; i < GROUP; i++) store(p + i * LANES, group[i]);
        return;
    }
    for (int i = 0; i < GROUP; i++) {
        const int64_t left = count - i * LANES;
        if (left > 0) store(p + i * LANES, group[i], left);
    }
}

#define EACH for (int i = 0; i < GROUP; i++)

}  // namespace

// Shapes as in mmdynamicvis.ops.selective_scan; x, dt, y contiguous, the others with a stride per
// token. Null pointers for absent inputs.
struct Scan {
    const float *x, *dt, *A, *B, *C, *D, *z, *dt_bias;
    int64_t B_stride, C_stride, z_stride;
    int64_t n_batch, length, n_channels, n_state;
    int32_t softplus, average;
    int32_t first, last;  // directions: 0 is forward, 1 is reverse
};

namespace {

struct Range {  // of tokens, in scan order
    int64_t length;
    bool reverse;
    int64_t token(int64_t i) const { return reverse ? length - 1 - i : i; }
};

struct StepSize {
    Group bias;
    bool softplus;
    Group operator()(const Group& dt) const {
        Group d;
        EACH d[i] = dt[i] + bias[i];
        if (softplus) ::softplus(d.v);
        return d;
    }
};

// Rates for exponentials of base 2, a group of channels per state.
inline void load_rates(const Scan& s, int64_t channel, int64_t count, Group* rate) {
    for (int64_t n = 0; n < s.n_state; n++)
        for (int64_t j = 0; j < WIDTH; j++)
            rate[n][j / LANES][j % LANES] =
                j < count ? s.A[(channel + j) * s.n_state + n] * LOG2_E : 0;
}

// A token's channels are few beside those it lies between: the processor does not foresee the next.
inline void prefetch(const Scan& s, int64_t row, int64_t token, int64_t channel) {
    if (token < 0 || token >= s.length) return;
    const int64_t at = (row * s.length + token) * s.n_channels + channel;
    for (int64_t i = 0; i < WIDTH; i += 16) {
        __builtin_prefetch(s.x + at + i);
        __builtin_prefetch(s.dt + at + i);
    }
}

template <int N_STATE>
void forward_group(const Scan& s, int64_t batch, int64_t channel, float* y, float* states) {
    const int64_t n_state = N_STATE ? N_STATE : s.n_state;
    const int64_t count = s.n_channels - channel < WIDTH ? s.n_channels - channel : WIDTH;
    const bool merge = s.average && s.first != s.last;
    constexpr int MAX_N = N_STATE ? N_STATE : MAX_STATES;
    Group rate[MAX_N], decay[MAX_N], h[MAX_N];
    load_rates(s, channel, count, rate);
    const Group skip = s.D ? load_group(s.D + channel, count) : Group{};
    const StepSize step_size = {s.dt_bias ? load_group(s.dt_bias + channel, count) : Group{},
                                s.softplus != 0};
    const int64_t n_rows = (s.last - s.first + 1) * s.n_batch;
    for (int direction = s.first; direction <= s.last; direction++) {
        const int64_t row = (direction - s.first) * s.n_batch + batch;
        const Range range = {s.length, direction == 1};
        const bool finish = !merge || direction == s.last;
        memset((void*)h, 0, n_state * sizeof(Group));
        for (int64_t step = 0; step < s.length; step++) {
            if (step % CHUNK == 0)
                for (int64_t n = 0; n < n_state; n++)
                    store_group(states + ((step / CHUNK * n_rows + row) * n_state + n) *
                                             s.n_channels + channel, h[n], count);
            const int64_t token = range.token(step);
            const int64_t at = row * s.length + token;
            prefetch(s, row, range.token(step + AHEAD), channel);
            const Group x = load_group(s.x + at * s.n_channels + channel, count);
            const Group dt = step_size(load_group(s.dt + at * s.n_channels + channel, count));
            const float* B = s.B + at * s.B_stride;
            const float* C = s.C + at * s.C_stride;
            Group u, out = {};
            EACH u[i] = dt[i] * x[i];
            for (int64_t n = 0; n < n_state; n++) {
                EACH decay[n][i] = dt[i] * rate[n][i];
                exp2(decay[n].v);
            }
            // apart from the exponentials, so that u and out stay in registers
            for (int64_t n = 0; n < n_state; n++) {
                EACH h[n][i] = decay[n][i] * h[n][i] + u[i] * B[n];
                EACH out[i] += h[n][i] * C[n];
            }
            EACH out[i] += skip[i] * x[i];
            const int64_t out_at = (merge ? batch : row) * s.length + token;
            float* destination = y + out_at * s.n_channels + channel;
            if (merge) {
                EACH out[i] *= 0.5f;
                if (direction != s.first) {
                    const Group other = load_group(destination, count);
                    EACH out[i] += other[i];
                }
            }
            if (s.z && finish) {
                const Group z =
                    load_group(s.z + (batch * s.length + token) * s.z_stride + channel, count);
                Group gate = z;
                sigmoid(gate.v);
                EACH out[i] *= z[i] * gate[i];
            }
            store_group(destination, out, count);
        }
    }
}


// What the backward pass returns. dB, dC, dA, dD and ddt_bias are sums over what tasks share; each
// task writes its own part, and the caller adds them up: dB and dC (channel blocks, K * B, L, N),
// dA (K * B, N, D), dD and ddt_bias (K * B, D). Null pointers for absent inputs.
struct Gradients {
    const float *dy, *states;
    float *x, *dt, *A, *B, *C, *D, *z, *dt_bias;
};

// Of one chunk and one group of channels; steps in scan order.
template <int MAX_N>
struct Chunk {
    Group x[CHUNK], dt[CHUNK], out[CHUNK];
    Group decay[CHUNK][MAX_N], h[CHUNK + 1][MAX_N];
};

// Sums over the channels of a block, per token and state.
template <int MAX_N>
struct Sums {
    Vec B[CHUNK][MAX_N], C[CHUNK][MAX_N];
};

// Runs a chunk once more from the state it was entered with.
template <int MAX_N>
void recompute(const Scan& s, const Range& range, int64_t row, int64_t start, int64_t steps,
               int64_t channel, int64_t count, const Group* rate, const StepSize& step_size,
               Chunk<MAX_N>& chunk) {
    for (int64_t step = 0; step < steps; step++) {
        const int64_t at = row * s.length + range.token(start + step);
        const Group x = load_group(s.x + at * s.n_channels + channel, count);
        const Group dt = step_size(load_group(s.dt + at * s.n_channels + channel, count));
        const float* B = s.B + at * s.B_stride;
        const float* C = s.C + at * s.C_stride;
        Group u, out = {};
        EACH u[i] = dt[i] * x[i];
        for (int64_t n = 0; n < s.n_state; n++) {
            Group& decay = chunk.decay[step][n];
            Group& h = chunk.h[step + 1][n];
            EACH decay[i] = dt[i] * rate[n][i];
            exp2(decay.v);
            EACH h[i] = decay[i] * chunk.h[step][n][i] + u[i] * B[n];
            EACH out[i] += h[i] * C[n];
        }
        chunk.x[step] = x;
        chunk.dt[step] = dt;
        chunk.out[step] = out;
    }
}

// What the steps of a task share, per group of channels.
template <int MAX_N>
struct Carry {
    Group rate[MAX_N];
    Group sent[MAX_N];  // gradient that the later steps send to the state before them
    Group A[MAX_N], D, dt_bias;
};

template <int MAX_N>
void backward_chunk(const Scan& s, const Gradients& g, const Range& range, int64_t batch,
                    int64_t row, int64_t start, int64_t steps, int64_t channel, int64_t count,
                    bool merge, bool first, Carry<MAX_N>& carry, Chunk<MAX_N>& chunk,
                    Sums<MAX_N>& sums) {
    const Group skip = s.D ? load_group(s.D + channel, count) : Group{};
    const StepSize step_size = {s.dt_bias ? load_group(s.dt_bias + channel, count) : Group{},
                                s.softplus != 0};
    recompute(s, range, row, start, steps, channel, count, carry.rate, step_size, chunk);
    for (int64_t step = steps - 1; step >= 0; step--) {
        const int64_t token = range.token(start + step);
        const int64_t at = row * s.length + token, image_at = batch * s.length + token;
        const Group x = chunk.x[step], dt = chunk.dt[step];
        Group dy = load_group(g.dy + (merge ? image_at : at) * s.n_channels + channel, count);
        if (merge) EACH dy[i] *= 0.5f;
        if (s.z) {
            const Group z = load_group(s.z + image_at * s.z_stride + channel, count);
            float* destination = g.z + image_at * s.n_channels + channel;
            Group dz = first ? Group{} : load_group(destination, count);
            Group gate = z;
            sigmoid(gate.v);
            EACH {
                const Vec out = chunk.out[step][i] + skip[i] * x[i];
                dz[i] += dy[i] * out * gate[i] * (1.0f + z[i] * (1.0f - gate[i]));
                dy[i] *= z[i] * gate[i];
            }
            store_group(destination, dz, count);
        }
        const float* B = s.B + at * s.B_stride;
        const float* C = s.C + at * s.C_stride;
        Group u, du = {}, rate_sum = {};
        EACH u[i] = dt[i] * x[i];
        for (int64_t n = 0; n < s.n_state; n++) {
            Vec dB = sums.B[step][n], dC = sums.C[step][n];
            EACH {
                const Vec dh = carry.sent[n][i] + dy[i] * C[n];
                dC += dy[i] * chunk.h[step + 1][n][i];
                dB += dh * u[i];
                du[i] += dh * B[n];
                const Vec sent = dh * chunk.decay[step][n][i];
                const Vec dt_A = sent * chunk.h[step][n][i];
                rate_sum[i] += dt_A * carry.rate[n][i];
                carry.A[n][i] += dt_A * dt[i];
                carry.sent[n][i] = sent;
            }
            sums.B[step][n] = dB;
            sums.C[step][n] = dC;
        }
        Group dx, ddt;
        EACH {
            dx[i] = du[i] * dt[i] + dy[i] * skip[i];
            ddt[i] = du[i] * x[i] + rate_sum[i] * (1 / LOG2_E);
            carry.D[i] += dy[i] * x[i];
        }
        if (s.softplus) {
            Group slope = load_group(s.dt + at * s.n_channels + channel, count);
            EACH slope[i] += step_size.bias[i];
            sigmoid(slope.v);
            EACH ddt[i] *= slope[i];
        }
        EACH carry.dt_bias[i] += ddt[i];
        store_group(g.x + at * s.n_channels + channel, dx, count);
        store_group(g.dt + at * s.n_channels + channel, ddt, count);
    }
}

template <int MAX_N>
void backward_block(const Scan& s, const Gradients& g, int64_t batch, int64_t block,
                    int64_t groups_per_block) {
    const bool merge = s.average && s.first != s.last;
    const int64_t n_state = s.n_state, n_rows = (s.last - s.first + 1) * s.n_batch;
    const int64_t first_channel = block * groups_per_block * WIDTH;
    const int64_t left = (s.n_channels - first_channel + WIDTH - 1) / WIDTH;
    const int64_t n_groups = left < groups_per_block ? left : groups_per_block;
    const auto carries = std::make_unique<Carry<MAX_N>[]>(n_groups);
    const auto chunk = std::unique_ptr<Chunk<MAX_N>>(new Chunk<MAX_N>);
    const auto sums = std::unique_ptr<Sums<MAX_N>>(new Sums<MAX_N>);
    for (int direction = s.first; direction <= s.last; direction++) {
        const int64_t row = (direction - s.first) * s.n_batch + batch;
        const Range range = {s.length, direction == 1};
        for (int64_t group = 0; group < n_groups; group++) {
            const int64_t channel = first_channel + group * WIDTH;
            carries[group] = {};
            load_rates(s, channel, s.n_channels - channel, carries[group].rate);
        }
        for (int64_t index = (s.length + CHUNK - 1) / CHUNK - 1; index >= 0; index--) {
            const int64_t start = index * CHUNK;
            const int64_t steps = s.length - start < CHUNK ? s.length - start : CHUNK;
            memset((void*)sums.get(), 0, sizeof *sums);
            for (int64_t group = 0; group < n_groups; group++) {
                const int64_t channel = first_channel + group * WIDTH;
                const int64_t count = s.n_channels - channel < WIDTH ? s.n_channels - channel : WIDTH;
                for (int64_t n = 0; n < n_state; n++)
                    chunk->h[0][n] = load_group(
                        g.states + ((index * n_rows + row) * n_state + n) * s.n_channels + channel,
                        count);
                backward_chunk(s, g, range, batch, row, start, steps, channel, count, merge,
                               direction == s.first, carries[group], *chunk, *sums);
            }
            for (int64_t step = 0; step < steps; step++) {
                const int64_t at = (block * n_rows + row) * s.length + range.token(start + step);
                for (int64_t n = 0; n < n_state; n++) {
                    g.B[at * n_state + n] = sum(sums->B[step][n]);
                    g.C[at * n_state + n] = sum(sums->C[step][n]);
                }
            }
        }
        for (int64_t group = 0; group < n_groups; group++) {
            const int64_t channel = first_channel + group * WIDTH;
            const int64_t count = s.n_channels - channel < WIDTH ? s.n_channels - channel : WIDTH;
            const Carry<MAX_N>& carry = carries[group];
            for (int64_t n = 0; n < n_state; n++)
                store_group(g.A + (row * n_state + n) * s.n_channels + channel, carry.A[n], count);
            if (g.D) store_group(g.D + row * s.n_channels + channel, carry.D, count);
            if (g.dt_bias)
                store_group(g.dt_bias + row * s.n_channels + channel, carry.dt_bias, count);
        }
    }
}

}  // namespace

extern "C" {

// y: (K, B, L, D), or (B, L, D) if averaged; states: (chunks, K * B, N, D).
void selective_scan_forward(const Scan* scan, float* y, float* states, int32_t threads) {
    const Scan& s = *scan;
    const int64_t groups = (s.n_channels + WIDTH - 1) / WIDTH;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t task = 0; task < s.n_batch * groups; task++) {
        const int64_t batch = task / groups, channel = task % groups * WIDTH;
        if (s.n_state == 16) forward_group<16>(s, batch, channel, y, states);
        else forward_group<0>(s, batch, channel, y, states);
    }
}

int32_t selective_scan_channel_blocks(const Scan* scan, int32_t groups_per_block) {
    return (scan->n_channels + groups_per_block * WIDTH - 1) / (groups_per_block * WIDTH);
}

void selective_scan_backward(const Scan* scan, const Gradients* gradients,
                             int32_t groups_per_block, int32_t threads) {
    const Scan& s = *scan;
    const int64_t blocks = selective_scan_channel_blocks(scan, groups_per_block);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t task = 0; task < s.n_batch * blocks; task++) {
        const int64_t batch = task / blocks, block = task % blocks;
        if (s.n_state <= 16) backward_block<16>(s, *gradients, batch, block, groups_per_block);
        else backward_block<MAX_STATES>(s, *gradients, batch, block, groups_per_block);
    }
}
}
