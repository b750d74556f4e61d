"""Losses for pretraining on several modalities without annotations."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, pixel_unshuffle

from mmdynamicvis.ops.autocast import outside_autocast


def cell_info_nce(a_NE: Tensor, b_NE: Tensor, temperature: float = 0.1) -> Tensor:
    r"""Contrast the cells of two modalities in both directions (InfoNCE).

    Row i of both arguments is the same cell of the same place; all other rows are its negatives.
    With :math:`l_{ij} = \cos(a_i, b_j) / temperature`:

    .. math::
        L = -\frac{1}{2 N} \sum_i \log \frac{\exp l_{ii}}{\sum_j \exp l_{ij}}
            -\frac{1}{2 N} \sum_i \log \frac{\exp l_{ii}}{\sum_j \exp l_{ji}}

    Exchanging the modalities does not change the loss. It is computed at least in float32.

    Args:
        a_NE: Embeddings (N, E) of one modality, not normalized.
        b_NE: Embeddings (N, E) of the other.
        temperature: Positive.

    Returns:
        The loss, a scalar; zero without cells.
    """
    dtype = torch.promote_types(a_NE.dtype, torch.float32)
    with outside_autocast(a_NE):
        a_NE = normalize(a_NE.to(dtype), dim=-1)
        b_NE = normalize(b_NE.to(dtype), dim=-1)
        logits_NN = a_NE @ b_NE.t() / temperature
    if len(logits_NN) == 0:
        return logits_NN.sum()
    own_N = torch.arange(len(logits_NN), device=logits_NN.device)
    return (cross_entropy(logits_NN, own_N) + cross_entropy(logits_NN.t(), own_N)) / 2


def random_projection_targets(
    pixels_BCHW: Tensor, projection_PD: Tensor, grid: tuple[int, int]
) -> Tensor:
    """Project the pixels of each cell linearly.

    Args:
        pixels_BCHW: Images (B, C, height * k, width * k).
        projection_PD: Random matrix (C * k * k, D); the pixels of a cell are ordered by band, row
            and column.
        grid: Height and width in cells of k x k pixels.

    Returns:
        Targets (B, height * width, D) in the dtype of the matrix, cells in row-major order.
    """
    k = pixels_BCHW.shape[2] // grid[0]
    cells_BNP = pixel_unshuffle(pixels_BCHW, k).flatten(2).transpose(1, 2)
    with outside_autocast(pixels_BCHW):
        return cells_BNP.to(projection_PD.dtype) @ projection_PD


def hidden_patch_loss(
    predicted_BND: Tensor,
    targets_BND: Tensor,
    hidden_BN: Tensor,
    temperature: float = 0.1,
    same: float = 0.999,
) -> Tensor:
    r"""Predict the targets of hidden patches, up to their scale (patch discrimination).

    The prediction p of each hidden patch must be more similar to its own target t than to those of
    the other hidden patches of the same sample. With :math:`l_{ij} = \cos(p_i, t_j) / temperature`
    and the set H of hidden patches of the sample that a patch belongs to:

    .. math::
        L = -\frac{1}{\sum |H|} \sum_i \log
            \frac{\exp l_{ii}}{\exp l_{ii} + \sum_{j \in H, \cos(t_i, t_j) < same} \exp l_{ij}}

    Patches with the same target, such as those of water, are therefore not told apart. A constant
    prediction does not minimize this loss, unlike a squared error. After the Latent-MIM-Lite of
    OlmoEarth (arXiv 2511.13655), whose targets are frozen random projections too. The loss is
    computed at least in float32.

    Args:
        predicted_BND: Predictions (B, N, D), not normalized.
        targets_BND: Targets (B, N, D), not normalized; they get no gradient.
        hidden_BN: Which patches are hidden, (B, N) bool; the others take no part.
        temperature: Positive.
        same: Cosine from which two targets count as the same.

    Returns:
        The mean over all hidden patches, a scalar; zero if there are none.
    """
    dtype = torch.promote_types(predicted_BND.dtype, torch.float32)
    with outside_autocast(predicted_BND):
        predicted_BND = normalize(predicted_BND.to(dtype), dim=-1)
        targets_BND = normalize(targets_BND.detach().to(dtype), dim=-1)
        logits_BNN = predicted_BND @ targets_BND.mT / temperature
        negatives_BNN = (targets_BND @ targets_BND.mT < same) & hidden_BN[:, None, :]
    own_NN = torch.eye(hidden_BN.shape[1], dtype=torch.bool, device=hidden_BN.device)
    own_logits_BN = logits_BNN.diagonal(dim1=1, dim2=2)
    lowest = torch.finfo(dtype).min
    losses_BN = logits_BNN.masked_fill(~(negatives_BNN | own_NN), lowest).logsumexp(2) - (
        own_logits_BN
    )
    return torch.where(hidden_BN, losses_BN, 0).sum() / hidden_BN.sum().clamp(min=1)
