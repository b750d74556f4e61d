// SSD scan on a CPU, forward and backward, in float32.
//
// One decay per head and token leaves so few exponentials that the recurrence itself is faster on a
// CPU than products of matrices over chunks, which take more multiplications. The lanes of a vector
// are channels of a head. A task of the forward pass is an image and one vector of channels, whose
// states stay in registers; a task of the backward pass is an image and a head. Both run through
// both directions, so that nothing is written by two tasks.

#include <memory>

#include "vector.h"

namespace {

constexpr int MAX_STATES = 64;
constexpr int BLOCK = 4;  // vectors of a head that a task takes
constexpr int CHUNK = 32;  // tokens whose states the backward pass recomputes and keeps at once
static_assert(CHUNK % LANES == 0, "decays of a chunk are whole vectors");

}  // namespace

// Shapes as in mmdynamicvis.ops.ssd_scan; dt (after softplus) contiguous, the tokens of the others
// a stride apart. Null pointers for absent inputs.
struct Ssd {
    const float *x, *dt, *A, *B, *C, *D, *z;
    int64_t x_stride, B_stride, C_stride, z_stride;
    int64_t n_batch, length, n_heads, head_dim, n_state;
    int32_t average;
    int32_t first, last;  // directions: 0 is forward, 1 is reverse
    int64_t n_channels() const { return n_heads * head_dim; }
    int64_t n_rows() const { return (last - first + 1) * n_batch; }
    bool merge() const { return average && first != last; }
};

// What the backward pass returns. dB, dC, dA and dD are sums over what tasks share; each task writes
// its own part, and the caller adds them up: dB and dC (H, K * B, L, N), dA and dD (B, H). Null
// pointers for absent inputs.
struct SsdGradients {
    const float *dy, *states;
    float *x, *dt, *A, *B, *C, *D, *z;
};

namespace {

// Of a chunk of one head: steps in scan order, and the token of each.
struct Steps {
    int64_t start, count;
    bool reverse;
    int64_t length;
    float dt[CHUNK], decay[CHUNK];

    int64_t token(int64_t i) const {
        return reverse ? length - 1 - start - i : start + i;
    }

    void read(const Ssd& s, int64_t batch, int64_t head, int64_t first_step, bool is_reverse) {
        start = first_step;
        reverse = is_reverse;
        length = s.length;
        count = length - start < CHUNK ? length - start : CHUNK;
        const float rate = s.A[head] * LOG2_E;
        for (int64_t i = 0; i < CHUNK; i++)
            dt[i] = i < count ? s.dt[(batch * length + token(i)) * s.n_heads + head] : 0;
        for (int64_t i = 0; i < CHUNK; i += LANES)
            store(decay + i, exp2(load(dt + i) * rate));
    }
};

inline float* state_of(const Ssd& s, float* states, int64_t step, int64_t row, int64_t n,
                       int64_t channel) {
    return states + ((step / CHUNK * s.n_rows() + row) * s.n_state + n) * s.n_channels() + channel;
}

// One chunk of a vector of channels, whose states h stay in registers.
template <int N_STATE>
void forward_chunk(const Ssd& s, const Steps& steps, int64_t batch, int64_t row, int64_t head,
                   int64_t offset, bool first_pass, bool last_pass, Vec* states, float* y) {
    const int64_t n_state = N_STATE ? N_STATE : s.n_state;
    const int64_t channel = head * s.head_dim + offset, lanes = s.head_dim - offset;
    const int64_t n_channels = s.n_channels();
    const bool merge = s.merge();
    const float skip = s.D ? s.D[head] : 0;
    Vec h[N_STATE ? N_STATE : MAX_STATES];
    for (int64_t n = 0; n < n_state; n++) h[n] = states[n];
    for (int64_t i = 0; i < steps.count; i++) {
        const int64_t token = steps.token(i), at = row * s.length + token;
        const Vec x = load(s.x + at * s.x_stride + channel, lanes);
        // tokens lie far apart, often in pages of their own: the processor does not foresee the next
        if (steps.start + i + CHUNK < s.length) {
            const int64_t ahead = steps.token(i + CHUNK), image_ahead = batch * s.length + ahead;
            __builtin_prefetch(s.x + (row * s.length + ahead) * s.x_stride + channel);
            __builtin_prefetch(y + (merge ? image_ahead : row * s.length + ahead) * n_channels +
                               channel, 1);
            if (s.z && last_pass) __builtin_prefetch(s.z + image_ahead * s.z_stride + channel);
        }
        const float* B = s.B + at * s.B_stride;
        const float* C = s.C + at * s.C_stride;
        const Vec u = x * steps.dt[i];
        const float decay = steps.decay[i];
        Vec out[4] = {x * skip};  // several sums: none waits for the one before
        for (int64_t n = 0; n < n_state; n++) {
            h[n] = h[n] * decay + u * B[n];
            out[n % 4] += h[n] * C[n];
        }
        Vec total = (out[0] + out[1]) + (out[2] + out[3]);
        float* destination = y + ((merge ? batch : row) * s.length + token) * n_channels + channel;
        if (merge) {
            total *= 0.5f;
            if (!first_pass) total += load(destination, lanes);
        }
        if (s.z && last_pass) {
            const Vec z = load(s.z + (batch * s.length + token) * s.z_stride + channel, lanes);
            total *= z * sigmoid(z);
        }
        store(destination, total, lanes);
    }
    for (int64_t n = 0; n < n_state; n++) states[n] = h[n];
}

void forward_block(const Ssd& s, int64_t batch, int64_t head, int64_t first_offset, float* y,
                   float* states) {
    Vec h[BLOCK][MAX_STATES];
    Steps steps;
    for (int direction = s.first; direction <= s.last; direction++) {
        const int64_t row = (direction - s.first) * s.n_batch + batch;
        const bool first_pass = direction == s.first;
        const bool last_pass = !s.merge() || direction == s.last;
        memset((void*)h, 0, sizeof h);
        for (int64_t start = 0; start < s.length; start += CHUNK) {
            steps.read(s, batch, head, start, direction == 1);
            for (int v = 0; v < BLOCK; v++) {
                const int64_t offset = first_offset + v * LANES;
                if (offset >= s.head_dim) break;
                for (int64_t n = 0; n < s.n_state; n++)
                    store(state_of(s, states, start, row, n, head * s.head_dim + offset), h[v][n],
                          s.head_dim - offset);
                const auto run = s.n_state == 16 ? forward_chunk<16> : forward_chunk<0>;
                run(s, steps, batch, row, head, offset, first_pass, last_pass, h[v], y);
            }
        }
    }
}

// COUNT vectors of channels of a head, in one chunk.
template <int COUNT, int MAX_N>
struct Block {
    Vec x[CHUNK][COUNT], out[CHUNK][COUNT];
    Vec h[CHUNK + 1][MAX_N][COUNT];
    Vec sent[MAX_N][COUNT];  // gradient that later steps send to the state before them
};

#define EACH for (int v = 0; v < COUNT; v++)

template <int COUNT, int MAX_N>
void backward_chunk(const Ssd& s, const SsdGradients& g, const Steps& steps, int64_t batch,
                    int64_t row, int64_t head, int64_t offset, bool first_pass, bool first_block,
                    Block<COUNT, MAX_N>& block, Vec& dA, Vec& dD) {
    const int64_t n_state = s.n_state, n_channels = s.n_channels();
    const int64_t channel = head * s.head_dim + offset, lanes = s.head_dim - offset;
    const float skip = s.D ? s.D[head] : 0, rate = s.A[head];
    for (int64_t n = 0; n < n_state; n++)
        EACH block.h[0][n][v] =
            lanes > v * LANES ? load(state_of(s, (float*)g.states, steps.start, row, n, channel) +
                                     v * LANES, lanes - v * LANES)
                              : Vec{};
    for (int64_t i = 0; i < steps.count; i++) {
        const int64_t at = row * s.length + steps.token(i);
        const float* B = s.B + at * s.B_stride;
        const float* C = s.C + at * s.C_stride;
        Vec u[COUNT], out[COUNT];
        EACH {
            const Vec x = lanes > v * LANES
                              ? load(s.x + at * s.x_stride + channel + v * LANES, lanes - v * LANES)
                              : Vec{};
            block.x[i][v] = x;
            u[v] = x * steps.dt[i];
            out[v] = x * skip;
            if (steps.start == 0 || lanes <= v * LANES) continue;  // else the next chunk is before
            const int64_t ahead = steps.token(i - CHUNK), place = channel + v * LANES;
            const int64_t row_ahead = row * s.length + ahead, image_ahead = batch * s.length + ahead;
            __builtin_prefetch(s.x + row_ahead * s.x_stride + place);
            __builtin_prefetch(g.x + row_ahead * n_channels + place, 1);
            __builtin_prefetch(g.dy + (s.merge() ? image_ahead : row_ahead) * n_channels + place);
            if (!s.z) continue;
            __builtin_prefetch(s.z + image_ahead * s.z_stride + place);
            __builtin_prefetch(g.z + image_ahead * n_channels + place, 1);
        }
        for (int64_t n = 0; n < n_state; n++)
            EACH {
                const Vec h = block.h[i][n][v] * steps.decay[i] + u[v] * B[n];
                block.h[i + 1][n][v] = h;
                out[v] += h * C[n];
            }
        EACH block.out[i][v] = out[v];
    }
    for (int64_t i = steps.count - 1; i >= 0; i--) {
        const int64_t token = steps.token(i);
        const int64_t at = row * s.length + token, image_at = batch * s.length + token;
        const float* B = s.B + at * s.B_stride;
        const float* C = s.C + at * s.C_stride;
        Vec dy[COUNT], u[COUNT], du[COUNT] = {}, passed[COUNT] = {};
        EACH {
            const int64_t count = lanes - v * LANES, place = channel + v * LANES;
            dy[v] = Vec{};
            u[v] = block.x[i][v] * steps.dt[i];
            if (count <= 0) continue;
            dy[v] = load(g.dy + (s.merge() ? image_at : at) * n_channels + place, count);
            if (s.merge()) dy[v] *= 0.5f;
            if (s.z) {
                const Vec z = load(s.z + image_at * s.z_stride + place, count);
                float* destination = g.z + image_at * n_channels + place;
                const Vec gate = sigmoid(z);
                Vec dz = dy[v] * block.out[i][v] * gate * (1.0f + z * (1.0f - gate));
                if (!first_pass) dz += load(destination, count);
                store(destination, dz, count);
                dy[v] *= z * gate;
            }
        }
        float* dB = g.B + (head * s.n_rows() * s.length + at) * n_state;
        float* dC = g.C + (head * s.n_rows() * s.length + at) * n_state;
        for (int64_t n = 0; n < n_state; n++) {
            Vec sum_B = {}, sum_C = {};
            EACH {
                const Vec dh = block.sent[n][v] + dy[v] * C[n];
                sum_C += dy[v] * block.h[i + 1][n][v];
                sum_B += dh * u[v];
                du[v] += dh * B[n];
                const Vec sent = dh * steps.decay[i];
                passed[v] += sent * block.h[i][n][v];
                block.sent[n][v] = sent;
            }
            dB[n] = sum(sum_B) + (first_block ? 0 : dB[n]);
            dC[n] = sum(sum_C) + (first_block ? 0 : dC[n]);
        }
        Vec ddt = {};
        EACH {
            const Vec dx = du[v] * steps.dt[i] + dy[v] * skip;
            ddt += du[v] * block.x[i][v] + passed[v] * rate;
            dA += passed[v] * steps.dt[i];
            dD += dy[v] * block.x[i][v];
            if (lanes > v * LANES)
                store(g.x + at * n_channels + channel + v * LANES, dx, lanes - v * LANES);
        }
        float& step = g.dt[image_at * s.n_heads + head];
        step = sum(ddt) + (first_pass && first_block ? 0 : step);
    }
}

template <int COUNT, int MAX_N>
void backward_head(const Ssd& s, const SsdGradients& g, int64_t batch, int64_t head) {
    const auto block = std::unique_ptr<Block<COUNT, MAX_N>>(new Block<COUNT, MAX_N>);
    Steps steps;
    Vec dA = {}, dD = {};
    for (int direction = s.first; direction <= s.last; direction++) {
        const int64_t row = (direction - s.first) * s.n_batch + batch;
        for (int64_t offset = 0; offset < s.head_dim; offset += COUNT * LANES) {
            memset((void*)block->sent, 0, sizeof block->sent);
            for (int64_t index = (s.length + CHUNK - 1) / CHUNK - 1; index >= 0; index--) {
                steps.read(s, batch, head, index * CHUNK, direction == 1);
                backward_chunk(s, g, steps, batch, row, head, offset, direction == s.first,
                               offset == 0, *block, dA, dD);
            }
        }
    }
    g.A[batch * s.n_heads + head] = sum(dA);
    if (g.D) g.D[batch * s.n_heads + head] = sum(dD);
}

#undef EACH

template <int COUNT>
void backward_head(const Ssd& s, const SsdGradients& g, int64_t batch, int64_t head) {
    if (s.n_state <= 16) backward_head<COUNT, 16>(s, g, batch, head);
    else backward_head<COUNT, MAX_STATES>(s, g, batch, head);
}

}  // namespace

extern "C" {

// y: (K, B, L, D), or (B, L, D) if averaged; states: (chunks, K * B, N, D).
void ssd_scan_forward(const Ssd* scan, float* y, float* states, int32_t threads) {
    const Ssd& s = *scan;
    const int64_t width = BLOCK * LANES, blocks = (s.head_dim + width - 1) / width;
    const int64_t per_image = s.n_heads * blocks;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t task = 0; task < s.n_batch * per_image; task++) {
        const int64_t batch = task / per_image, head = task % per_image / blocks;
        forward_block(s, batch, head, task % blocks * width, y, states);
    }
}

void ssd_scan_backward(const Ssd* scan, const SsdGradients* gradients, int32_t threads) {
    const Ssd& s = *scan;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t task = 0; task < s.n_batch * s.n_heads; task++) {
        const int64_t batch = task / s.n_heads, head = task % s.n_heads;
        if (s.head_dim <= LANES) backward_head<1>(s, *gradients, batch, head);
        else if (s.head_dim <= 2 * LANES) backward_head<2>(s, *gradients, batch, head);
        else backward_head<4>(s, *gradients, batch, head);
    }
}
}
