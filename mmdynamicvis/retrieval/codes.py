"""Binary codes of vectors. Signs are 32 times smaller than float32; 64 bits are also faster.

As in "Multi-Spectral Remote Sensing Image Retrieval using Geospatial Foundation Models"
(arXiv 2403.02059), whose protocol is used for table 12 of the DynamicVis paper.
"""

from __future__ import annotations

from torch import Tensor


def binarize(vectors_NC: Tensor) -> Tensor:
    """Return the signs of vectors: (N, C) bool, whether a value is above 0."""
    return vectors_NC > 0


def trivial_hash(vectors_NC: Tensor, bits: int = 64) -> Tensor:
    """Return short codes: signs of the means over groups of channels.

    Bit i is the sign of the mean over channels i, i + bits, i + 2 bits, etc.

    Args:
        vectors_NC: (N, C) floating point; C is a multiple of ``bits``.
        bits: Length of the codes.

    Returns:
        (N, bits) bool.

    Raises:
        ValueError: The channels cannot be divided into that many groups.
    """
    channels = vectors_NC.shape[1]
    if channels % bits:
        raise ValueError(f'{channels} channels cannot be divided into {bits} equal groups')
    return binarize(vectors_NC.unflatten(1, (channels // bits, bits)).mean(1))


CODES = dict(float=lambda vectors_NC: vectors_NC, binary=binarize, hash64=trivial_hash)
"""Name -> function from vectors (N, C) to the vectors or codes to search."""
