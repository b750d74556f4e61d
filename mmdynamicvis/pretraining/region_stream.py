"""Samples streamed from shards, in an order that a killed training can go on with."""

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
    """Return the samples of a rank: a contiguous part of all of them.

    With ``drop_rest`` all ranks get equally many and fewer than ``world_size`` samples are left
    out; without, every sample is in one share and shares differ by at most one.
    """
    if drop_rest:
        num_samples -= num_samples % world_size
    return range(rank * num_samples // world_size, (rank + 1) * num_samples // world_size)


def worker_share(share: range, worker: int, n_workers: int, batch_size: int) -> range:
    """Return the samples of a worker: a contiguous part of its rank's share.

    A rank's batches go round robin to its workers, and a DataLoader collects each batch within one
    worker. So a worker gets as many samples as its batches have; only the last batch of the rank
    may have fewer than ``batch_size``.
    """
    n_batches = -(-len(share) // batch_size)
    each, more = divmod(n_batches, n_workers)
    lacking = n_batches * batch_size - len(share)

    def start(worker: int) -> int:
        first = (worker * each + min(worker, more)) * batch_size
        # the worker that has the last batch; those after it have begun earlier by what it lacks
        return first - lacking if worker > (n_batches - 1) % n_workers else first

    return share[start(worker) : start(worker + 1)]


def shard_pieces(counts: Sequence[int], samples: range) -> Iterator[tuple[int, range]]:
    """Yield which positions of which shard hold the samples, shard by shard.

    Args:
        counts: Number of samples of each shard.
        samples: Positions in the sequence of all shards.
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

    In training, an epoch goes through the shards in an order that follows from the seed and the
    epoch. Every rank takes an equal, contiguous part of that sequence and shuffles it through a
    buffer. No sample comes twice in an epoch, and fewer than one per rank do not come: as the
    order changes, others each time. With ``test_mode`` every sample comes exactly once, in the
    order of the shards, whatever the number of ranks, workers and shards.

    The batches of an epoch follow from the seed, the epoch, the batch size and the numbers of ranks
    and workers, and the augmentation of a sample from the seed, the epoch and its key. So a
    resumed training (``mmdynamicvis.ExactResumeHook``) gets the same batches bit for bit as an
    uninterrupted one; what is behind it is read, but not decoded, again.

    A remote folder is streamed and not kept. Boxes are clipped to the image; boxes outside of it,
    inverted or empty are left out. Images without boxes stay.

    Args:
        shards: Folder of the shards and their ``meta.json``, or its http(s) or file address.
        pipeline: Transforms; as for mmdet's ``CocoDataset`` but without loading of the image, so
            the first is ``dict(type='mmdet.LoadAnnotations', with_bbox=True)``. None may drop a
            sample.
        metainfo: ``classes``, the category names in the order of their labels, and what else the
            dataset is to tell about itself; by default the classes of ``meta.json``.
        test_mode: Go through every sample once, in order.
        seed: Of the order and the augmentations.
        shuffle_buffer: Number of samples, undecoded, that each worker keeps to shuffle them.

    Raises:
        OSError: A shard or its index cannot be read, or an image is broken.
        ValueError: There are more ranks than shards in training, class names are unknown, or
            something in the shards is wrong; the message names it.
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
        # shared with the processes that load, which may outlive an epoch
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
        """What is known about the data: ``classes`` at least."""
        return dict(self._metainfo)

    def __len__(self) -> int:
        """Return the number of samples of this rank in an epoch."""
        return len(self._share())

    def set_progress(self, epoch: int, batches_done: int, batch_size: int) -> None:
        """Set what the next iteration goes through; to be called before it in the main process.

        A test always goes through everything, and needs only the ``batch_size``, to have full
        batches with several workers.

        Args:
            epoch: Number of the epoch.
            batches_done: How many batches of it are behind.
            batch_size: Of the DataLoader.
        """
        if epoch < 0 or batches_done < 0 or batch_size < 1:
            raise ValueError(
                f'epoch {epoch} and batches_done {batches_done} must be at least 0, batch_size '
                f'{batch_size} at least 1'
            )
        self._progress.copy_(torch.tensor(_Progress(epoch, batches_done, batch_size)))

    def __iter__(self) -> Iterator[Any]:
        """Iterate over this worker's samples, from where the progress is now."""
        progress = self._current()
        info = get_worker_info()
        process, n_workers = (info.id, info.num_workers) if info else (0, 1)
        # The DataLoader takes the first batch from process 0, wherever the epoch continues.
        worker = (process + progress.batches_done) % n_workers
        batches_behind = -(-(progress.batches_done - worker) // n_workers)
        samples = self._stored(progress, worker, n_workers)
        # after the shuffle, so that the order stays
        rest = islice(samples, max(batches_behind, 0) * progress.batch_size, None)
        labels = {name: label for label, name in enumerate(self._metainfo['classes'])}
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
        """Return the undecoded samples of a worker in an epoch, in their order."""
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
        """Decode a sample and send it through the pipeline."""
        decoded = decode_sample(sample, labels)
        path = decoded['img_path']
        if not self.test_mode:
            # so that it does not matter which worker does it, and after what
            seed_everything(self.seed, epoch, sample['__key__'])
        results = self.pipeline(decoded)
        if results is None:
            raise ValueError(
                f'the pipeline dropped {path}, but a stream cannot take another sample instead: '
                'keep images without boxes, with keep_empty=False for FilterAnnotations and '
                'allow_negative_crop=True for RandomCrop'
            )
        return results
