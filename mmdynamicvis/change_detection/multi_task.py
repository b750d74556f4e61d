"""A siamese segmentor with several maps as outputs: of each date, and of the pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor, nn

from mmdynamicvis.change_detection.siamese import SiameseEncoderDecoder
from mmdynamicvis.data.class_maps import ClassMap, class_maps
from mmdynamicvis.fileio import shorten
from mmdynamicvis.registry import MODELS

DATES = ('from', 'to')
"""The two dates in chronological order."""
SOURCES = (*DATES, 'pair')


@dataclass(frozen=True)
class Output:
    """A map that a model predicts.

    Args:
        name: Name of the map; its annotation is ``gt_NAME``, its prediction ``pred_NAME``.
        head: Name of the head, which several outputs may share.
        of: Features that the head gets: of the first date, of the second, or of the pair.
        within: Name of an output outside of which this one is 0: land cover within changed pixels,
            damage within buildings. Its classes are then numbered from 1, and its head, which has
            none for 0, neither learns nor predicts anything about pixels outside.

    Raises:
        ValueError: ``of`` is unknown.
    """

    name: str
    head: str
    of: Literal['from', 'to', 'pair'] = 'pair'
    within: str | None = None

    def __post_init__(self) -> None:
        if self.of not in SOURCES:
            raise ValueError(f'output {self.name!r} is of {self.of!r}; choose one of {SOURCES}')

    def targets(self, labels: Tensor, ignore_index: int = 255) -> Tensor:
        """Return what the head learns: labels, without 0 and counted from 0 if ``within`` is set.

        Args:
            labels: Class indices or ``ignore_index``, of any shape.
            ignore_index: Label of pixels that are ignored.
        """
        if self.within is None:
            return labels
        return torch.where((labels == 0) | (labels == ignore_index), ignore_index, labels - 1)


@MODELS.register_module()
class MultiTaskSiamese(SiameseEncoderDecoder):
    """A siamese segmentor that predicts several maps of a pair of images.

    Semantic change detection is a map of change, from features of the pair, and one of the land
    cover of each date, by one head; building damage assessment is a map of buildings at the first
    date and one of damage; extraction and change together are a map of buildings of each date and
    one of change. ChangeMamba (https://arxiv.org/abs/2404.03425) has the first two, RSBuilding
    (https://arxiv.org/abs/2403.07564) the third.

    Samples need a label map of each output, ``gt_NAME``, PixelData (1, H, W), as by
    ``LoadPairLabels`` and ``PackLabelMaps``; pixels of 255, the ``ignore_index`` of the heads, do
    not count. Predictions are ``pred_NAME``, (1, H, W) class indices, and ``NAME_logits``,
    (classes, H, W). ``pred_sem_seg`` and ``seg_logits`` are those of the first output, for
    visualizers and inferencers of mmseg.

    Args:
        backbone: Config of the backbone, applied to each image.
        neck: Config of a ``PairNeck``. Its pyramid gives the features of each date.
        decode_head: Name -> config of a head of mmseg with one logit per class.
        outputs: Arguments of :class:`Output` for each output.
        date_decoder: Config of a neck for the pyramid of each date, such as ``UNetDecoder``; by
            default heads get the pyramid itself.
        joint_losses: Configs of losses of several outputs, such as ``SemanticConsistencyLoss``.
        **kwargs: Further arguments of ``SiameseEncoderDecoder``.

    Raises:
        ValueError: Outputs have the same name, an unknown head or unknown ``within``; a head is
            used by none; or heads have one logit for two classes, or differ in ``align_corners``.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        decode_head: Mapping[str, dict],
        outputs: Sequence[dict],
        date_decoder: dict | None = None,
        joint_losses: Sequence[dict] = (),
        **kwargs: Any,
    ) -> None:
        self.outputs = [Output(**output) for output in outputs]
        _check(self.outputs, decode_head)
        super().__init__(backbone=backbone, neck=neck, decode_head=decode_head, **kwargs)
        self.date_decoder = None if date_decoder is None else MODELS.build(date_decoder)
        self.joint_losses = nn.ModuleList(MODELS.build(loss) for loss in joint_losses)

    def _init_decode_head(self, decode_head: Mapping[str, dict]) -> None:
        self.decode_head = nn.ModuleDict(
            {name: MODELS.build(head) for name, head in decode_head.items()}
        )
        for name, head in self.decode_head.items():
            if head.out_channels < 2:
                raise ValueError(
                    f'head {name!r} has {head.out_channels} logit: set out_channels to the '
                    'number of its classes'
                )
        corners = {head.align_corners for head in self.decode_head.values()}
        if len(corners) > 1:
            raise ValueError('heads differ in align_corners: give all the same')
        (self.align_corners,) = corners
        # mmseg's sliding windows need the number of logits, which are those of all outputs
        self._channels = [self.decode_head[output.head].out_channels for output in self.outputs]
        self.out_channels = self.num_classes = sum(self._channels)

    def describe_maps(self, metainfo: Mapping[str, Any]) -> list[ClassMap]:
        """Return the outputs with the names and colors of their classes.

        Args:
            metainfo: That of a dataset: its ``maps`` are name -> dict(classes=..., palette=...).

        Raises:
            ValueError: It does not define the classes of an output, or not as many as the model
                has.
        """
        known, maps = metainfo.get('maps') or {}, []
        for output, channels in zip(self.outputs, self._channels, strict=True):
            if output.name not in known:
                raise ValueError(
                    f'the dataset does not define the map {output.name!r}: give its classes in its '
                    f"metainfo, as metainfo=dict(maps=dict({output.name}=dict(classes=('none', "
                    "'some'))))"
                )
            found = known[output.name]
            part = ClassMap(output.name, found['classes'], found.get('palette'), output.within)
            if part.num_logits != channels:
                raise ValueError(
                    f'the map {output.name!r} has {len(part.classes)} classes in the dataset '
                    f'({shorten(list(part.classes))}), for which the model must have '
                    f'{part.num_logits} logits, and it has {channels}'
                )
            maps.append(part)
        return maps

    def extract_feat(self, inputs: Tensor) -> dict[str, Sequence[Tensor]]:
        """Return the features that outputs are predicted from.

        Args:
            inputs: (B, 2 x channels, H, W).

        Returns:
            Maps of 'pair', 'from' and 'to', as far as an output needs them, the finest first.

        Raises:
            ValueError: The number of channels does not match two images.
        """
        pyramids = self.neck.pyramids(*self.extract_dates(inputs))
        if len(pyramids) != len(DATES):
            raise ValueError(f'inputs have {len(pyramids)} dates, and outputs are of {len(DATES)}')
        needed = {output.of for output in self.outputs}
        features = {'pair': self.neck.fuse(*pyramids)} if 'pair' in needed else {}
        dates = [date for date in DATES if date in needed]
        if not dates:
            return features
        levels = zip(*(pyramids[DATES.index(date)] for date in dates), strict=True)
        maps = [torch.cat(level) for level in levels]
        if self.date_decoder is not None:
            maps = self.date_decoder(maps)
        of_dates = zip(
            *(level.unflatten(0, (len(dates), -1)).unbind() for level in maps), strict=True
        )
        return features | dict(zip(dates, of_dates, strict=True))

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Return the logits of all outputs, one after another, (B, all classes, H, W)."""
        features = self.extract_feat(inputs)
        logits = [
            self.decode_head[output.head].predict(
                features[output.of], batch_img_metas, self.test_cfg
            )
            for output in self.outputs
        ]
        return torch.cat(logits, 1)

    def _forward(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Return the logits of each output, in the size in which its head computes them."""
        features = self.extract_feat(inputs)
        return {
            output.name: self.decode_head[output.head](features[output.of])
            for output in self.outputs
        }

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Return the losses of each output, ``NAME.LOSS``, and those of several, ``joint.LOSS``.

        A backbone with experts adds ``loss_balance``.

        Raises:
            ValueError: A sample lacks the label map of an output.
        """
        targets = {output.name: self._targets(output, data_samples) for output in self.outputs}
        logits, losses = self._forward(inputs), {}
        for output in self.outputs:
            samples = [
                SegDataSample(gt_sem_seg=PixelData(data=target)) for target in targets[output.name]
            ]
            head = self.decode_head[output.head]
            losses.update(add_prefix(head.loss_by_feat(logits[output.name], samples), output.name))
        if self.joint_losses:
            labels = {name: target.squeeze(1) for name, target in targets.items()}
            enlarged = {
                name: resize(scores, labels[name].shape[1:], None, 'bilinear', self.align_corners)
                for name, scores in logits.items()
            }
        for loss in self.joint_losses:
            losses[f'joint.{loss.loss_name}'] = loss(enlarged, labels)
        return losses | self._balance_loss()

    def _targets(self, output: Output, data_samples: list[SegDataSample]) -> Tensor:
        """Return what the head of an output learns, (B, 1, H, W)."""
        key = f'gt_{output.name}'
        for sample in data_samples:
            if key not in sample:
                raise ValueError(
                    f'the sample of {sample.get("img_path")} has no {key}. Give it PixelData '
                    '(1, H, W), as LoadPairLabels and PackLabelMaps do; of 255 alone if the label '
                    'is missing'
                )
        labels = torch.stack([sample.get(key).data for sample in data_samples])
        return output.targets(labels, self.decode_head[output.head].ignore_index)

    def postprocess_result(
        self, seg_logits: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Split the logits of all outputs, and add the map of each to the samples.

        Args:
            seg_logits: (B, all classes, H, W), as by :meth:`encode_decode`.
            data_samples: Samples to add predictions to; by default new ones.
        """
        if data_samples is None:
            shape = tuple(seg_logits.shape[2:])
            metainfo = dict(img_shape=shape, ori_shape=shape)
            data_samples = [SegDataSample(metainfo=metainfo) for _ in seg_logits]
        for output, logits in zip(
            self.outputs, seg_logits.split(self._channels, dim=1), strict=True
        ):
            super().postprocess_result(logits, data_samples)
            for sample in data_samples:
                sample.set_data({f'{output.name}_logits': sample.seg_logits})
        for sample in data_samples:
            scores = {
                output.name: sample.get(f'{output.name}_logits').data for output in self.outputs
            }
            self.set_predictions(sample, class_maps(self.outputs, scores))
            sample.seg_logits = sample.get(f'{self.outputs[0].name}_logits')
        return data_samples

    def set_predictions(self, sample: SegDataSample, maps: Mapping[str, Tensor]) -> None:
        """Add class maps, (H, W) of each output, to a sample, in place."""
        predictions = {f'pred_{name}': PixelData(data=data[None]) for name, data in maps.items()}
        sample.set_data(predictions)
        sample.pred_sem_seg = predictions[f'pred_{self.outputs[0].name}']


def _check(outputs: Sequence[Output], heads: Mapping[str, dict]) -> None:
    names = [output.name for output in outputs]
    if not names or len(set(names)) < len(names):
        raise ValueError(f'the outputs are {names}; give each a name of its own')
    used = {output.head for output in outputs}
    if used != set(heads):
        raise ValueError(
            f'outputs use the heads {sorted(used)}, and decode_head has {sorted(heads)}'
        )
    plain = [output.name for output in outputs if output.within is None]
    for output in outputs:
        if output.within is not None and output.within not in plain:
            raise ValueError(
                f'output {output.name!r} is within {output.within!r}; give one of {plain}'
            )


@MODELS.register_module()
class MultiTaskTTAModel(BaseTTAModel):
    """Test-time augmentation of ``MultiTaskSiamese``: averages the probabilities of each output."""

    def merge_preds(self, data_samples_list: list[list[SegDataSample]]) -> list[SegDataSample]:
        """Return one sample for the samples of each augmented pair.

        Args:
            data_samples_list: Per pair, the samples of its augmented versions.
        """
        merged = []
        for samples in data_samples_list:
            probabilities = {}
            for output in self.module.outputs:
                logits = [sample.get(f'{output.name}_logits').data for sample in samples]
                probabilities[output.name] = torch.stack(logits).softmax(1).mean(0)
            sample = samples[0]
            self.module.set_predictions(sample, class_maps(self.module.outputs, probabilities))
            merged.append(sample)
        return merged
