from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch.utils.data import Dataset

from mmdynamicvis.engine import single_storage_collate


def sample(number: int, n_boxes: int = 2) -> dict:
    boxes = torch.rand(n_boxes, 4, generator=torch.Generator().manual_seed(number))
    instances = InstanceData(bboxes=boxes, labels=torch.arange(n_boxes))
    image = torch.arange(3 * (number + 1) * 5, dtype=torch.uint8).view(3, number + 1, 5)
    # not contiguous, as after a flip
    return dict(inputs=image.transpose(1, 2), data_samples=instances, name=f'image {number}')


class Samples(Dataset):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict:
        return sample(index, n_boxes=index % 3)


DATASETS.register_module(name='SingleStorageSamples', module=Samples)


def load(n_workers: int) -> list[dict]:
    loader = Runner.build_dataloader(
        dict(
            batch_size=4,
            num_workers=n_workers,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='SingleStorageSamples'),
            collate_fn=dict(type='mmdynamicvis.single_storage_collate'),
        )
    )
    return list(loader)


def storages(batch: dict) -> set[int]:
    tensors = batch['inputs'] + [
        tensor for data in batch['data_samples'] for tensor in (data.bboxes, data.labels)
    ]
    return {tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.numel()}


def assert_equal(batch: dict, expected: dict) -> None:
    assert batch.keys() == expected.keys()
    assert batch['name'] == expected['name']
    assert all(map(torch.equal, batch['inputs'], expected['inputs']))
    for data, other in zip(batch['data_samples'], expected['data_samples'], strict=True):
        assert torch.equal(data.bboxes, other.bboxes)
        assert data.bboxes.dtype == other.bboxes.dtype
        assert torch.equal(data.labels, other.labels)


def test_batches_of_workers_are_equal_and_in_one_storage():
    samples = Samples()
    expected = [pseudo_collate([samples[i] for i in part]) for part in (range(4), range(4, 6))]
    for batches, n_storages in ((load(0), None), (load(2), 1)):
        for batch, other in zip(batches, expected, strict=True):
            assert_equal(batch, other)
            if n_storages:
                assert len(storages(batch)) == n_storages


DTYPES = st.sampled_from(
    [torch.uint8, torch.bool, torch.int64, torch.float16, torch.float32, torch.float64]
)


@given(st.lists(st.tuples(DTYPES, st.lists(st.integers(0, 4), max_size=3)), min_size=1, max_size=5))
def test_tensors_of_any_dtype_and_shape_come_back(kinds):
    batch = single_storage_collate(
        [
            dict(x=torch.ones(shape).cumsum(0).to(dtype) if shape else torch.ones((), dtype=dtype))
            for dtype, shape in kinds
        ]
    )
    restore, arguments = batch.__reduce__()
    restored = restore(*arguments)
    assert type(restored) is dict
    for tensor, original in zip(restored['x'], batch['x'], strict=True):
        assert tensor.dtype == original.dtype
        assert torch.equal(tensor, original)


def test_other_tensors_go_their_own_way():
    weight = torch.ones(3, requires_grad=True)
    restore, arguments = single_storage_collate([dict(x=weight)]).__reduce__()
    assert restore(*arguments)['x'][0].requires_grad
