"""Translation of the published implementation's arguments to ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_SCAN_MODES = {
    'forward': 'forward',
    'forward_reverse_mean': 'mean',
    'forward_reverse_gate': 'gate',
}
_ARCHS = {'b': 'base', 'l': 'large'}


def translate(
    arch: str | dict = 'base',
    frozen_stages: int = -1,
    path_type: str = 'forward_reverse_mean',
    sampling_scale: dict = dict(type='fixed', val=0.1),
    global_token_cfg: dict = dict(pos='head', num=-1),
    spatial_token_keep_ratios: Sequence[float] = (8, 4, 2, 1),
    is_softmax_on_x: bool = True,
    norm_topk_prob: bool = False,
    with_pe: bool = True,
    mamba2: bool = False,
    **others: Any,
) -> dict[str, Any]:
    """Return the arguments of :class:`~mmdynamicvis.DynamicVis` that correspond to published ones.

    Arguments that are not listed have the same meaning in both.

    Args:
        arch: 'b' or 'base', 'l' or 'large', or any ``arch`` of :class:`~mmdynamicvis.DynamicVis`.
        frozen_stages: Number of frozen stages, whereas :class:`~mmdynamicvis.DynamicVis` has the
            index of the last one; -1 or 0 freeze none.
        path_type: 'forward', 'forward_reverse_mean' or 'forward_reverse_gate'.
        sampling_scale: Selection noise, ``type`` 'fixed' or 'decay' and ``val``.
        global_token_cfg: ``pos`` and ``num`` of the global tokens; -1 means one per row.
        spatial_token_keep_ratios: r per stage, of whose tokens 1 / r are kept; 0 means dense.
        is_softmax_on_x: Also weight the tokens that are not selected.
        norm_topk_prob: Divide the importances of selected tokens by their sum.
        with_pe: Add a position embedding.
        mamba2: Must be False: the Mamba-2 mixer of the published code is not part of this suite.
        **others: Further arguments of :class:`~mmdynamicvis.DynamicVis`.

    Raises:
        ValueError: A value is unknown; the message names it.
    """
    if path_type not in _SCAN_MODES:
        raise ValueError(f'path_type is {path_type!r}; choose one of {sorted(_SCAN_MODES)}')
    if mamba2:
        raise ValueError('mamba2 is True; the suite has the Mamba-1 mixer only')
    if any(0 < r < 1 or r < 0 for r in spatial_token_keep_ratios):
        raise ValueError(
            f'spatial_token_keep_ratios is {spatial_token_keep_ratios}; give r >= 1, or 0 for dense'
        )
    num = global_token_cfg.get('num', -1)
    return dict(
        arch=_ARCHS.get(arch, arch) if isinstance(arch, str) else arch,
        frozen_stages=max(frozen_stages, 0) - 1,
        reduction_ratios=[1 - 1 / r if r else None for r in spatial_token_keep_ratios],
        scan_mode=_SCAN_MODES[path_type],
        global_tokens=dict(
            position=global_token_cfg.get('pos', 'head'), num=num if num > 0 else None
        ),
        selection_noise=sampling_scale,
        published=True,
        update_unselected=is_softmax_on_x,
        normalize_importance=norm_topk_prob,
        position_embedding=with_pe,
        **others,
    )
