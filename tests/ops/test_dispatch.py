"""Which backend runs an op, and what is said about it."""

from __future__ import annotations

import logging

import pytest
import torch

from mmdynamicvis.ops import selective_scan, token_select, token_update
from mmdynamicvis.ops.causal_conv1d import BACKENDS as CONV_BACKENDS
from mmdynamicvis.ops.dispatch import (
    ENVIRONMENT_VARIABLE,
    NAMES,
    Backend,
    BackendUnavailableError,
    check_backend,
    choose,
)
from mmdynamicvis.ops.selective_scan import BACKENDS
from mmdynamicvis.ops.token_select import SELECT_BACKENDS, UPDATE_BACKENDS


def fast() -> str:
    return 'fast'


def plain() -> str:
    return 'plain'


MISSING = Backend('missing', fast, unavailable=lambda: 'package fast is not installed')
PICKY = Backend(
    'picky',
    fast,
    unsupported=lambda x: None if x.dtype == torch.float32 else f'no kernel for {x.dtype}',
)
PLAIN = Backend('plain', plain)
FLOATS, INTS = torch.zeros(1), torch.zeros(1, dtype=torch.long)


def test_auto_takes_the_first_that_can_run() -> None:
    assert choose('op', (MISSING, PICKY, PLAIN), 'auto', FLOATS) is fast
    assert choose('op', (MISSING, PICKY, PLAIN), 'auto', INTS) is plain


def test_a_named_backend_is_taken_even_if_it_is_not_the_first() -> None:
    assert choose('op', (PICKY, PLAIN), 'plain', FLOATS) is plain


def test_a_named_backend_that_cannot_run_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"op: backend 'missing'.*package fast is not installed"):
        choose('op', (MISSING, PLAIN), 'missing', FLOATS)
    with pytest.raises(RuntimeError, match=r"op: backend 'picky'.*no kernel for torch\.int64"):
        choose('op', (PICKY, PLAIN), 'picky', INTS)


def test_all_reasons_are_given_if_none_can_run() -> None:
    with pytest.raises(RuntimeError, match='fast is not installed; picky: no kernel'):
        choose('op', (MISSING, PICKY), 'auto', INTS)


@pytest.mark.parametrize('backend', ['Plain', '', 'cuda'])
def test_an_unknown_backend_is_named_beside_the_known_ones(backend: str) -> None:
    message = rf"op: unknown backend '{backend}'; choose one of \['auto', 'picky', 'plain'\]"
    with pytest.raises(ValueError, match=message):
        check_backend('op', (PICKY, PLAIN), backend)
    with pytest.raises(ValueError, match=message):
        choose('op', (PICKY, PLAIN), backend, FLOATS)


def test_auto_says_once_what_it_took_and_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, 'mmdynamicvis.ops')
    for _ in range(3):
        choose('op of this test', (MISSING, PICKY, PLAIN), 'auto', INTS)
        choose('op of this test', (PICKY, PLAIN), 'plain', INTS)
    assert [record.getMessage() for record in caplog.records] == [
        "op of this test runs on the backend 'plain'; not missing: package fast is not installed; "
        'not picky: no kernel for torch.int64'
    ]


def test_auto_passes_over_what_it_does_not_want(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, 'mmdynamicvis.ops')
    slow = Backend('triton', fast, unwanted=lambda *tensors: 'it would be slow')
    assert choose('op that could be slow', (slow, PLAIN), 'auto', FLOATS) is plain
    assert choose('op that could be slow', (slow, PLAIN), 'triton', FLOATS) is fast
    assert 'not triton: it would be slow' in caplog.text


def test_the_environment_chooses_where_the_caller_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    backends = (Backend('cpu', fast), Backend('eager', plain), Backend('naive', plain))
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, 'eager')
    assert choose('op', backends, 'auto', FLOATS) is plain
    assert choose('op', backends, 'cpu', FLOATS) is fast
    # an op that lacks the backend goes by itself
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, 'mamba_ssm')
    assert choose('op', backends, 'auto', FLOATS) is fast
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, 'abacus')
    with pytest.raises(
        ValueError, match=r"MMDYNAMICVIS_BACKEND is 'abacus'; choose one of \['auto'"
    ):
        choose('op', backends, 'auto', FLOATS)


def test_a_backend_that_the_environment_asks_for_must_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, 'mamba_ssm')
    lacking = Backend('mamba_ssm', fast, unavailable=lambda: 'mamba_ssm is not installed')
    with pytest.raises(BackendUnavailableError, match=r"'mamba_ssm' cannot run.*not installed"):
        choose('op', (lacking, PLAIN), 'auto', FLOATS)


def test_every_op_has_the_oracle_and_a_backend_for_any_machine() -> None:
    for backends in (BACKENDS, CONV_BACKENDS, SELECT_BACKENDS, UPDATE_BACKENDS):
        names = [backend.name for backend in backends]
        assert names == [name for name in NAMES if name in names]
        assert names[-2:] == ['eager', 'naive']
        assert [b.why_not(FLOATS) for b in backends[-2:]] == [None, None]


def test_ops_run_by_default_on_what_auto_takes() -> None:
    inputs = tokens, *_ = torch.randn(2, 9, 4), torch.randn(4), torch.randn(4)
    selection = token_select(*inputs, 3)
    assert torch.equal(selection.indices, token_select(*inputs, 3, backend='eager').indices)
    assert token_update(tokens, selection.normed, selection.indices, torch.ones(2, 3)) is tokens
    y = selective_scan(tokens, tokens.abs(), -torch.ones(4, 2), tokens[..., :2], tokens[..., 2:])
    assert y.shape == tokens.shape
