"""Numbers of the published implementation, for weights in its layout."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from op_backends import device, marks

from mmdynamicvis.compat.models import DynamicVisBackbone
from mmdynamicvis.models.state_dict_map import to_ours
from mmdynamicvis.ops.dispatch import ENVIRONMENT_VARIABLE
from mmdynamicvis.ops.selective_scan import BACKENDS as SCAN_BACKENDS
from mmdynamicvis.ops.triton_support import INTERPRETED

CASES = [
    'tiny_default',
    'tiny_forward_only',
    'tiny_gate',
    'tiny_global_mid',
    'tiny_global_headtail',
    'tiny_global_none',
    'tiny_no_unselected_update',
    'tiny_without_token_reduction',
    'tiny_dense',
    'tiny_avg_featmap',
    'tiny_five_bands',
    'tiny_wide',
    pytest.param('base_128', marks=pytest.mark.slow),
    pytest.param('large_64', marks=pytest.mark.slow),
]


def backends() -> Iterator[object]:
    """Every backend of the scan but the oracle, which is slow."""
    for backend in SCAN_BACKENDS[:-1]:
        slow = [pytest.mark.exhaustive] if backend.name == 'triton' else []
        yield pytest.param(backend.name, marks=[*marks(backend), *slow])


TINY = dict(embed_dims=(16, 24, 32, 48), depths=(1, 1, 2, 1))

pytestmark = pytest.mark.shared_data


@pytest.fixture(scope='module')
def folder(shared_data: Path) -> Path:
    folder = shared_data.parent / 'parity'
    if not folder.is_dir():
        pytest.skip(f'no parity cases in {folder}')
    return folder


@pytest.fixture(scope='module')
def reference(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location('reference', folder / 'reference_weights.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_case_is_left_out(folder: Path) -> None:
    names = {case if isinstance(case, str) else case.values[0] for case in CASES}
    assert {path.stem for path in folder.glob('*.json')} == names


@pytest.mark.parametrize('backend', backends())
@pytest.mark.parametrize('name', CASES)
def test_equals_the_published_implementation(
    folder: Path, reference: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str, backend: str
) -> None:
    if backend == 'triton' and INTERPRETED and name != 'tiny_default':
        pytest.skip('Triton needs a GPU for this; interpreted, every case takes minutes')
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, backend)
    description = json.loads((folder / f'{name}.json').read_text())
    case, expected = description['case'], np.load(folder / f'{name}.npz')
    arguments = dict(case['backbone'])
    if arguments['arch'] == 'tiny':
        arguments['arch'] = TINY
    model = DynamicVisBackbone(**arguments).eval()
    state_dict = reference.state_dict(description['layout'], case.get('salt', 0))
    model.load_state_dict(state_dict, strict=True)
    model.to(device(backend))

    image = reference.image(tuple(case['image']), case['seed'])
    outputs = model(image.to(device(backend)))

    assert len(outputs) == sum(key.removeprefix('out').isdecimal() for key in expected)
    for i, output in enumerate(outputs):
        actual = output.detach().cpu().numpy()
        np.testing.assert_allclose(actual, expected[f'out{i}'], rtol=0, atol=1e-4)

    if 'grads' in case:
        loss = sum(output.double().square().mean() for output in outputs)
        assert loss.item() == pytest.approx(expected['loss'].item(), rel=1e-5)
        loss.backward()
        parameters = dict(model.named_parameters())
        for published in case['grads']:
            grad = parameters[to_ours(published)].grad
            if published == 'pos_embed':
                grad = grad.flatten(2).transpose(1, 2)
            wanted = expected[f'grad:{published}']
            error = np.abs(grad.cpu().numpy() - wanted).max() / np.abs(wanted).max()
            assert error < 1e-3, published


def test_some_case_has_gradients(folder: Path) -> None:
    cases = [json.loads(path.read_text())['case'] for path in folder.glob('*.json')]
    assert any(case.get('grads') for case in cases)
