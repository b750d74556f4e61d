// Vectors of floats in the compiler's own vector extension (GCC and Clang, any processor).

#pragma once

#include <cstdint>
#include <cstring>
#ifdef __AVX__
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef int32_t IntVec __attribute__((vector_size(LANES * 4)));
// Rows of floats begin anywhere. Not by memcpy, which copies in halves: reading a vector that was
// just written in two pieces makes the processor wait.
typedef float UnalignedVec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

// The first `count` lanes of a row; the others are zero.
static inline Vec load(const float* p, int64_t count = LANES) {
    if (count >= LANES) return *(const UnalignedVec*)p;
    Vec v = {};
    memcpy(&v, p, count * sizeof(float));
    return v;
}

static inline void store(float* p, Vec v, int64_t count = LANES) {
    if (count >= LANES) *(UnalignedVec*)p = v;
    else memcpy(p, &v, count * sizeof(float));
}

// A NaN in v stays one.
static inline Vec max(Vec v, Vec other) {
#if defined(__AVX512F__)
    return _mm512_max_ps(other, v);
#elif defined(__AVX__)
    return _mm256_max_ps(other, v);
#else
    return v < other ? other : v;
#endif
}

static inline Vec max(Vec v, float low) { return max(v, low + Vec{}); }

static inline float sum(Vec v) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps(v);
#elif defined(__AVX__)
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
#endif
    float total = 0;
    for (int i = 0; i < LANES; i++) total += v[i];
    return total;
}

// 2^v to about one unit in the last place, for several vectors abreast, since one alone would wait
// for each of its own results; exactly 1 for 0, and 2^-126 for anything less. Needs v < 127. The
// polynomial has the smallest largest relative error, 9e-8, on [-1/2, 1/2].
template <int COUNT>
static inline void exp2(Vec (&v)[COUNT]) {
    const float shift = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to an integer
    Vec rounded[COUNT], p[COUNT];
#define EACH for (int i = 0; i < COUNT; i++)
    EACH v[i] = max(v[i], -126.0f);
    EACH rounded[i] = v[i] + shift;
    EACH v[i] -= rounded[i] - shift;
    EACH p[i] = v[i] * 1.3264727e-3f + 9.6715126e-3f;
    EACH p[i] = p[i] * v[i] + 5.5507337e-2f;
    EACH p[i] = p[i] * v[i] + 2.4022242e-1f;
    EACH p[i] = p[i] * v[i] + 6.9314698e-1f;
    EACH p[i] = p[i] * v[i] + 1.0f;
    EACH v[i] = (Vec)((IntVec)p[i] + ((IntVec)rounded[i] << 23));
#undef EACH
}

static inline Vec exp2(Vec v) {
    Vec one[1] = {v};
    exp2(one);
    return one[0];
}

constexpr float LOG2_E = 1.44269504088896341f;

template <int COUNT>
static inline void sigmoid(Vec (&v)[COUNT]) {
    for (int i = 0; i < COUNT; i++) v[i] = -max(v[i], -87.0f) * LOG2_E;
    exp2(v);
    for (int i = 0; i < COUNT; i++) v[i] = 1.0f / (1.0f + v[i]);
}

static inline Vec sigmoid(Vec v) {
    Vec one[1] = {v};
    sigmoid(one);
    return one[0];
}

// log(1 + e^v) = max(v, 0) + 2 atanh(s), s = u / (2 + u) <= 1/3, u = e^-|v|; the first term left
// out of the series is 1e-8 of its value.
template <int COUNT>
static inline void softplus(Vec (&v)[COUNT]) {
    Vec s[COUNT], p[COUNT];
#define EACH for (int i = 0; i < COUNT; i++)
    EACH s[i] = -max(v[i], -v[i]) * LOG2_E;
    exp2(s);
    EACH s[i] = s[i] / (2.0f + s[i]);
    EACH p[i] = s[i] * s[i] * (2.0f / 15) + 2.0f / 13;
    EACH p[i] = p[i] * s[i] * s[i] + 2.0f / 11;
    EACH p[i] = p[i] * s[i] * s[i] + 2.0f / 9;
    EACH p[i] = p[i] * s[i] * s[i] + 2.0f / 7;
    EACH p[i] = p[i] * s[i] * s[i] + 2.0f / 5;
    EACH p[i] = p[i] * s[i] * s[i] + 2.0f / 3;
    EACH p[i] = p[i] * s[i] * s[i] + 2.0f;
    EACH v[i] = max(v[i], 0.0f) + p[i] * s[i];
#undef EACH
}
