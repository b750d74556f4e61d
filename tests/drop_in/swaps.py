"""Put DynamicVis into a host's config as a user would: the backbone, and the channels after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config, ConfigDict

from .cases import BACKBONE, CHANNELS

_BACKBONE = {key: value for key, value in BACKBONE.items() if key != '_delete_'}
_DEEPEST = len(CHANNELS) - 1
_INNER_HEADS = (
    'kernel_generate_head',
    'seg_head_cfg',
    'binary_cd_head',
    'semantic_cd_head',
    'semantic_cd_head_aux',
)
_SIAMESE = ('SiamEncoderDecoder', 'SiamEncoderMultiDecoder')


def is_candidate(host: str, cfg: Config) -> bool:
    """Tell whether a config has a backbone of its own and states the channels after it.

    mmdet, mmrotate: the first neck has a list ``in_channels``. mmseg: so have it, or the decode
    head has ``in_channels``. mmpretrain: classifiers whose head or first neck has ``in_channels``.
    open-cd: as mmseg, of the models that show each image to the backbone by itself.
    """
    model = cfg.get('model') or {}
    if not isinstance(model, dict) or 'backbone' not in model:
        return False
    if host == 'mmpretrain' and model.type != 'ImageClassifier':
        return False
    if host == 'opencd' and model.type not in _SIAMESE:
        return False
    if _takes_maps(_first_neck(model)):
        return True
    if host in ('mmseg', 'opencd'):
        return any('in_channels' in head for head in _heads(model))
    return host == 'mmpretrain' and 'in_channels' in (model.get('head') or {})


def swap(host: str, cfg: Config) -> None:
    """Put DynamicVis tiny in place of the backbone, and its channels into what follows, in place.

    Of our four maps a neck gets the deepest, as many as it took. Nothing else changes.
    """
    model = cfg.model
    neck = _first_neck(model)
    options = {}
    if _takes_maps(neck):
        count = len(neck.in_channels)
        channels = CHANNELS[-count:]
        deepest_first = neck.in_channels[0] > neck.in_channels[-1]
        channels = channels[::-1] if deepest_first else channels
        neck.in_channels = type(neck.in_channels)(channels)  # some insist on a tuple
        options = dict(out_indices=tuple(range(len(CHANNELS)))[-count:])
    elif host == 'opencd':
        options = _fit_change_detector(model)
    elif host == 'mmseg':
        for head in _heads(model):
            _fit_segmentation_head(head)
        options = dict(out_indices=tuple(range(_last_map(model) + 1)))
    else:
        options = _fit_classifier(model)
    if host in ('mmseg', 'opencd'):
        model.pop('pretrained', None)  # of the backbone that is no more
    model.backbone = ConfigDict(_BACKBONE, **options)


def _first_neck(model: ConfigDict) -> ConfigDict:
    necks = model.get('neck') or ConfigDict()
    return necks[0] if isinstance(necks, list) else necks


def _takes_maps(neck: ConfigDict) -> bool:
    """Tell whether a neck lists the channels of the maps that it takes, as FPN does."""
    return isinstance(neck.get('in_channels'), (list, tuple))


def _heads(model: ConfigDict) -> Iterator[ConfigDict]:
    for name in ('decode_head', 'auxiliary_head'):
        heads: Any = model.get(name) or []
        for head in heads if isinstance(heads, list) else [heads]:
            inner = [head[name] for name in _INNER_HEADS if head.get(name)]
            yield from inner or [head]


def _fit_segmentation_head(head: ConfigDict) -> None:
    """Give a head the channels of the maps that it takes; one that we have not: our deepest."""
    if 'in_channels' not in head:
        return
    if isinstance(head.in_channels, int):
        index = head.get('in_index', -1)
        index = index[0] if isinstance(index, (list, tuple)) else index
        head.in_index = min(index, _DEEPEST)
        head.in_channels = CHANNELS[head.in_index]
    else:
        count = len(head.in_channels)
        indices = list(head.get('in_index') or range(len(CHANNELS))[-count:])
        head.in_channels = [CHANNELS[min(index, _DEEPEST)] for index in indices]
    if 'c1_in_channels' in head:
        head.c1_in_channels = CHANNELS[0]


def _fit_change_detector(model: ConfigDict) -> dict[str, Any]:
    """Give open-cd's heads the channels of the maps that the backbone returned.

    A neck may concatenate the maps of both images. open-cd's own heads part them again, and so
    name one image's channels; a head of mmseg names those of both.
    """
    indices = tuple(model.backbone.get('out_indices', range(len(CHANNELS))))
    channels = [CHANNELS[index] for index in indices]
    both = _first_neck(model).get('policy') == 'concat' and model.decode_head.type.startswith(
        'mmseg.'
    )
    for head in _heads(model):
        fitted = [(2 if both else 1) * channel for channel in channels]
        if isinstance(head.in_channels, int):
            head.in_channels = fitted[head.get('in_index', -1)]
        else:
            head.in_channels = [fitted[index] for index in head.in_index]
    return dict(out_indices=indices)


def _last_map(model: ConfigDict) -> int:
    """Return the deepest map that a head takes: stages after it would not be trained."""
    indices = [head.get('in_index', _DEEPEST) for head in _heads(model)]
    indices = [max(i) if isinstance(i, (list, tuple)) else i for i in indices]
    return _DEEPEST if -1 in indices else max(indices)


def _fit_classifier(model: ConfigDict) -> dict[str, Any]:
    """Give the head the channels of the last map; without a neck it takes the map's mean."""
    neck = _first_neck(model)
    if 'input_features' in neck:
        neck.input_features = CHANNELS[-1]
    model.head.in_channels = CHANNELS[-1]
    if neck.get('dim') == 1:  # means over a sequence of tokens; ours come as a map
        neck.dim = 2
    pools = neck.get('type') in ('GlobalAveragePooling', 'GeneralizedMeanPooling')
    takes_map = pools or model.head.type == 'CSRAClsHead'
    return dict(out_indices=(_DEEPEST,)) if takes_map else dict(out_type='avg_featmap')
