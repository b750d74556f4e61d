"""A dataset that streams samples from shards, in an order that supports exact resumption."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, islice
from typing import Any, NamedTuple

import torch
from mmengine.dataset import Compose
from mmengine.dist import get_dist_info
from torch.utils.data import IterableDataset, get_worker_info

from mmdynamicvis.engine.seeding import seed_everything
from mmdynamicvis.pretraining.region_samples import decode_sample, read_shard
from mmdynamicvis.pretraining.region_shards import ShardIndex, webdataset
from mmdynamicvis.registry import DATASETS


def rank_share(num_samples: int, rank: int, world_size: int, drop_rest: bool) -> range:
    """Return the samples of a rank, a contiguous part of all samples.

    With ``drop_rest``, all ranks get the same number of samples, and fewer than ``world_size``
    samples are dropped. Without it, every sample is in one share, and shares differ by at most one.
    """
    if drop_rest:
        num_samples -= num_samples % world_size
    return range(rank * num_samples // world_size, (rank + 1) * num_samples // world_size)


def worker_share(share: range, worker: int, n_workers: int, batch_size: int) -> range:
    """Return the samples of a worker, a contiguous part of its rank's share.

    The batches of a rank are distributed round robin among its workers, and a DataLoader collects
    each batch within one worker. A worker therefore gets exactly the samples of its batches; only
    the last batch of the rank may have fewer than ``batch_size``.
    """
    n_batches = -(-len(share) // batch_size)
    each, more = divmod(n_batches, n_workers)
    lacking = n_batches * batch_size - len(share)

    def start(worker: int) -> int:
        first = (worker * each + min(worker, more)) * batch_size
        # workers after the one with the last, incomplete batch start earlier by its missing samples
        return first - lacking if worker > (n_batches - 1) % n_workers else first

    return share[start(worker) : start(worker + 1)]


def shard_pieces(counts: Sequence[int], samples: range) -> Iterator[tuple[int, range]]:
    """Yield (index of a shard, indices of samples in it) for a range of samples.

    Args:
        counts: Number of samples of each shard.
        samples: Indices in the concatenation of all shards.
    """
    for shard, (count, end) in enumerate(zip(counts, accumulate(counts), strict=True)):
        start = end - count
        piece = range(max(samples.start - start, 0), min(samples.stop - start, count))
        if piece:
            yield shard, piece


class _Progress(NamedTuple):
    epoch: int
    batches_done: int
    batch_size: int


@DATASETS.register_module()
class RegionStream(IterableDataset):
    """Images with regions from WebDataset shards, for training and testing.

    In training, the order of the shards depends on the seed and the epoch. Every rank gets an
    equal, contiguous part of that sequence and shuffles it through a buffer. No sample is repeated
    within an epoch. Samples that do not divide evenly among ranks, fewer than one per rank, are
    dropped; since the order changes, different ones are dropped in each epoch. With ``test_mode``,
    every sample is returned exactly once, in the order of the shards, regardless of the numbers of
    ranks, workers and shards.

    The batches of an epoch depend only on the seed, the epoch, the batch size and the numbers of
    ranks and workers; the augmentation of a sample depends only on the seed, the epoch and its key.
    A resumed training (``mmdynamicvis.ExactResumeHook``) therefore gets bit for bit the same
    batches as an uninterrupted one. Samples of batches that are already done are read again, but
    not decoded.

    A remote folder is streamed without being stored. Boxes are clipped to the image; boxes that are
    outside it, inverted or empty are skipped. Images without boxes are kept.

    Args:
        shards: Folder of the shards and their ``meta.json``, or its http(s) or file URL.
        pipeline: Transforms as for mmdet's ``CocoDataset``, but without loading of the image: the
            first is ``dict(type='mmdet.LoadAnnotations', with_bbox=True)``. No transform may drop
            a sample.
        metainfo: ``classes``, the category names in the order of their labels, and any further
            metainfo of the dataset; by default the classes of ``meta.json``.
        test_mode: Return every sample once, in order.
        seed: Seed of the order and the augmentations.
        shuffle_buffer: Number of undecoded samples that each worker buffers for shuffling.

    Raises:
        OSError: A shard or its index cannot be read, or an image is damaged.
        ValueError: There are more ranks than shards in training, there are no class names, or the
            content of a shard is invalid; the message names it.
    """

    def __init__(
        self,
        shards: str | os.PathLike,
        pipeline: Sequence[dict | Callable] = (),
        metainfo: dict | None = None,
        test_mode: bool = False,
        seed: int = 0,
        shuffle_buffer: int = 1000,
    ) -> None:
        webdataset()
        self.index = ShardIndex.read(shards)
        self.pipeline = Compose(list(pipeline))
        self._metainfo = {'classes': self.index.classes, **(metainfo or {})}
        self._metainfo['classes'] = tuple(self._metainfo['classes'])
        self.test_mode = test_mode
        self.seed = seed
        self.shuffle_buffer = shuffle_buffer
        self.rank, self.world_size = get_dist_info()
        # in shared memory for the worker processes, which may outlive an epoch
        self._progress = torch.full((len(_Progress._fields),), -1).share_memory_()
        self._check()

    def _check(self) -> None:
        if not self._metainfo['classes']:
            raise ValueError(
                f'the index of {self.index.folder} does not name the classes: give '
                'metainfo=dict(classes=[...])'
            )
        n_shards = len(self.index.shards)
        if not self.test_mode and self.world_size > n_shards:
            raise ValueError(
                f'{self.world_size} processes train on the {n_shards} shards of '
                f'{self.index.folder}: make more shards, at least one per process and better '
                'several, or use fewer processes'
            )

    @property
    def metainfo(self) -> dict[str, Any]:
        """Metainfo of the dataset, with at least ``classes``."""
        return dict(self._metainfo)

    def data_infos(self) -> Iterator[dict[str, Any]]:
        """Yield all samples in the order of the shards, decoded, without the pipeline."""
        for shard in self.index.shards:
            samples = range(shard.num_samples)
            for sample in read_shard(self.index.address(shard), shard.num_samples, samples):
                yield decode_sample(sample, self._labels)

    @property
    def _labels(self) -> dict[str, int]:
        return {name: label for label, name in enumerate(self._metainfo['classes'])}

    def __len__(self) -> int:
        """Return the number of samples of this rank in an epoch."""
        return len(self._share())

    def set_progress(self, epoch: int, batches_done: int, batch_size: int) -> None:
        """Set epoch and position of the next iteration; to be called in the main process before it.

        With ``test_mode`` all samples are returned anyway, and only ``batch_size`` is used, so that
        batches are full with several workers.

        Args:
            epoch: Number of the epoch.
            batches_done: Number of batches that are already done in it.
            batch_size: Batch size of the DataLoader.

        Raises:
            ValueError: A number is negative, or ``batch_size`` is not positive.
        """
        if epoch < 0 or batches_done < 0 or batch_size < 1:
            raise ValueError(
                f'epoch {epoch} and batches_done {batches_done} must be at least 0, batch_size '
                f'{batch_size} at least 1'
            )
        self._progress.copy_(torch.tensor(_Progress(epoch, batches_done, batch_size)))

    def __iter__(self) -> Iterator[Any]:
        """Iterate over this worker's samples, starting at the current position."""
        progress = self._current()
        info = get_worker_info()
        process, n_workers = (info.id, info.num_workers) if info else (0, 1)
        # The DataLoader takes the first batch from process 0, also in the middle of an epoch.
        worker = (process + progress.batches_done) % n_workers
        batches_behind = -(-(progress.batches_done - worker) // n_workers)
        samples = self._stored(progress, worker, n_workers)
        # skip after shuffling, so that the order stays the same
        rest = islice(samples, max(batches_behind, 0) * progress.batch_size, None)
        labels = self._labels
        return (self._prepare(sample, labels, progress.epoch) for sample in rest)

    def _current(self) -> _Progress:
        progress = _Progress(*self._progress.tolist())
        if self.test_mode:
            return _Progress(0, 0, max(progress.batch_size, 1))
        if progress.epoch < 0:
            raise RuntimeError(
                'RegionStream was not told where the training is: add '
                "custom_hooks=[dict(type='mmdynamicvis.ExactResumeHook')] to the config, or call "
                'set_progress before each epoch'
            )
        return progress

    def _share(self) -> range:
        n = self.index.num_samples
        return rank_share(n, self.rank, self.world_size, drop_rest=not self.test_mode)

    def _stored(self, progress: _Progress, worker: int, n_workers: int) -> Iterator[dict]:
        """Return the undecoded samples of a worker in an epoch, in order."""
        shards = list(self.index.shards)
        if not self.test_mode:
            random.Random(f'{self.seed} {progress.epoch}').shuffle(shards)
        share = worker_share(self._share(), worker, n_workers, progress.batch_size)
        samples = (
            sample
            for i, piece in shard_pieces([shard.num_samples for shard in shards], share)
            for sample in read_shard(self.index.address(shards[i]), shards[i].num_samples, piece)
        )
        if self.test_mode:
            return samples
        rng = random.Random(f'{self.seed} {progress.epoch} {self.rank} {worker}')
        return iter(webdataset().shuffle(self.shuffle_buffer, rng=rng)(samples))

    def _prepare(self, sample: dict[str, Any], labels: dict[str, int], epoch: int) -> Any:
        """Decode a sample and apply the pipeline."""
        decoded = decode_sample(sample, labels)
        path = decoded['img_path']
        if not self.test_mode:
            # so that the augmentation does not depend on the worker or on earlier samples
            seed_everything(self.seed, epoch, sample['__key__'])
        results = self.pipeline(decoded)
        if results is None:
            raise ValueError(
                f'the pipeline dropped {path}, but a stream cannot take another sample instead: '
                'keep images without boxes, with keep_empty=False for FilterAnnotations and '
                'allow_negative_crop=True for RandomCrop'
            )
        return results
