"""A selective scan in numba, one of the candidates of cpu_scan_candidates.py."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

LANES = 16
"""Channels that a thread processes together: one or two SIMD vectors."""
LOG2_E = np.float32(math.log2(math.e))
BIAS, MANTISSA_BITS = np.int32(127), np.int32(23)
LOWEST = np.float32(-126)
# Taylor series of 2^(r - 1/2) on [0, 1), highest power first; error 2e-8
POWERS = [np.float32(math.sqrt(2) * math.log(2) ** i / math.factorial(i)) for i in range(7, -1, -1)]
P7, P6, P5, P4, P3, P2, P1, P0 = POWERS


@njit(inline='always', fastmath=True)
def exp2(v: float) -> float:
    """Return 2^v for v <= 0; unlike the library function, this is vectorized."""
    v = max(v, LOWEST)
    whole = np.floor(v)
    r = v - whole - np.float32(0.5)
    p = ((((((P7 * r + P6) * r + P5) * r + P4) * r + P3) * r + P2) * r + P1) * r + P0
    bits = np.int32((np.int32(whole) + BIAS) << MANTISSA_BITS)
    return p * bits.view(np.float32)


@njit(parallel=True, fastmath=True, cache=True)
def scan(x, dt, B, C, y, A):
    """Fill y (K, L, D) with C h, forward for direction 0 and in reverse for direction 1.

    Args:
        x: (K, L, D) float32; D is a multiple of :data:`LANES`.
        dt: (K, L, D) float32, after softplus.
        B: (K, L, N) float32.
        C: (K, L, N) float32.
        y: (K, L, D) float32.
        A: (N, D) float32.
    """
    n_directions, length, n_channels = x.shape
    n_state = A.shape[0]
    n_blocks = n_channels // LANES
    for job in prange(n_directions * n_blocks):
        i_direction = job // n_blocks
        first = job % n_blocks * LANES
        h = np.zeros((n_state, LANES), np.float32)
        rates = np.empty((n_state, LANES), np.float32)
        for n in range(n_state):
            for j in range(LANES):
                rates[n, j] = A[n, first + j] * LOG2_E
        step = np.empty(LANES, np.float32)
        inflow = np.empty(LANES, np.float32)
        total = np.empty(LANES, np.float32)
        for i in range(length):
            t = i if i_direction == 0 else length - 1 - i
            for j in range(LANES):
                step[j] = dt[i_direction, t, first + j]
                inflow[j] = step[j] * x[i_direction, t, first + j]
                total[j] = np.float32(0)
            for n in range(n_state):
                b, c = B[i_direction, t, n], C[i_direction, t, n]
                for j in range(LANES):
                    state = exp2(step[j] * rates[n, j]) * h[n, j] + b * inflow[j]
                    h[n, j] = state
                    total[j] += c * state
            for j in range(LANES):
                y[i_direction, t, first + j] = total[j]
