"""Time every op with every backend at the shapes of every stage, relative to a lower bound.

    python tools/benchmark/ops.py --sizes 512 1024 --out benchmarks/results/ops_cpu.json

The floor of a call is the largest of three terms: the bytes that must be moved (each input read and
each output written once, and again in the backward pass with the gradients) divided by the measured
bandwidth of a copy; the arithmetic divided by the measured rate of float32 matrix products, since
all ops compute in float32; and on a GPU the exponentials divided by the rate of the
multiprocessors. A backward pass counts as twice the arithmetic and once the exponentials of the
forward pass.

A backend is not timed if its float32 values or gradients differ from the float64 oracle on small
tensors, or if its values at the timed shape differ from those of the plain torch backend. Calls
rotate over more inputs than fit in any cache. On a GPU they are replayed as one CUDA graph, so that
Python's overhead is not timed, every row is written before the next is measured, and an error costs
only its row.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from measure import (
    DTYPES,
    Ceilings,
    Run,
    add_arguments,
    ceilings,
    graphed,
    medians,
    parse,
    timer_for,
)
from op_cases import CASES, OpCase, Stage, make_inputs, stages
from record import Record
from torch import Tensor

from mmdynamicvis.ops import triton_support
from mmdynamicvis.ops.__main__ import LIMIT, OPS, error
from mmdynamicvis.ops.dispatch import NAMES, BackendUnavailableError

ORACLE, REFERENCE = 'naive', 'eager'
AGREEMENT = {'float32': 1e-4, 'bfloat16': 2e-2}
"""Largest relative RMS difference from the plain torch backend at a timed shape."""
ROTATION_BYTES = 2**28
"""Size of the inputs in rotation, several times any cache unless limited by MAX_COPIES."""
MAX_COPIES = {'cpu': 4, 'cuda': 16}
PASSES = ('forward', 'forward+backward')
SIZES = {'cpu': [512, 1024], 'cuda': [512, 1024, 2048, 4096]}


@functools.cache
def wrong(op: str, backend: str, device: str) -> str | None:
    """Return why a backend must not be timed, or None if it agrees with the oracle."""
    try:
        worst = error(OPS[op][1], backend, device)
    except BackendUnavailableError as reason:
        return str(reason)
    if not worst <= LIMIT:
        return f'WRONG: off by {worst:.1e} from the oracle, more than {LIMIT:.0e}'
    return None


def num_bytes(tensors: Sequence[Tensor]) -> int:
    """Return the total size of tensors in bytes."""
    return sum(x.numel() * x.element_size() for x in tensors)


@dataclass(frozen=True)
class Call:
    """An op at the shape of a stage."""

    op: str
    size: int
    stage: Stage
    dtype: str
    device: str

    @property
    def case(self) -> OpCase:
        """The case of the op, which says how to call it."""
        return CASES[self.op]

    def make_inputs(self) -> list[Tensor]:
        """Return new random inputs."""
        return make_inputs(self.case, self.stage, DTYPES[self.dtype], self.device)

    def unwritten(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return inputs that the op may write to without changing the given ones."""
        return [inputs[0].clone() if self.case.writes else inputs[0], *inputs[1:]]

    def outputs(self, inputs: Sequence[Tensor], backend: str) -> tuple[Tensor, ...]:
        """Run a backend without gradients."""
        with torch.no_grad():
            return self.case.call(self.stage, inputs, backend)

    def step(self, inputs: Sequence[Tensor], backend: str, weights: Sequence[Tensor]) -> Run:
        """Return a function for a forward and backward pass, with output gradients ``weights``."""
        leaves = [x for x in inputs if x.requires_grad]

        def run() -> tuple[Tensor, ...]:
            outputs = self.case.call(self.stage, inputs, backend)
            return torch.autograd.grad(outputs[: len(weights)], leaves, weights)

        return run

    def moved(
        self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> tuple[int, int]:
        """Return the bytes that the forward and the backward pass must move."""
        if self.case.moved is not None:
            return self.case.moved(self.stage, DTYPES[self.dtype].itemsize)
        leaves = [x for x in inputs if x.requires_grad]
        return num_bytes([*inputs, *outputs]), num_bytes([*inputs, *leaves, *weights])

    def floor(self, moved: tuple[int, int], which: str, limits: Ceilings) -> dict[str, float]:
        """Return the seconds of each term of the floor.

        Args:
            moved: See :meth:`moved`.
            which: One of :data:`PASSES`.
            limits: Limits of the machine.
        """
        n_bytes, arithmetic, exponentials = moved[0], 1, 1
        if which == PASSES[1]:
            n_bytes, arithmetic, exponentials = sum(moved), 3, 2
        terms = {
            'bytes (s)': n_bytes / limits.copy,
            'arithmetic (s)': arithmetic
            * self.case.flops(self.stage)
            / limits.arithmetic['float32'],
        }
        if limits.exponentials is not None:
            count = exponentials * self.case.exponentials(self.stage)
            terms['exponentials (s)'] = count / limits.exponentials
        return terms


def not_timed(call: Call, backend: str, inputs: Sequence[Tensor], expected: Sequence) -> str | None:
    """Return why a backend is not timed, or None if it is.

    Args:
        call: The op at a shape.
        backend: Name of the backend.
        inputs: Inputs of the call.
        expected: Outputs of the plain torch backend.
    """
    if backend == 'triton' and triton_support.INTERPRETED:
        return 'interpreted: nothing to time'
    reason = wrong(call.op, backend, call.device)
    if reason is not None or backend == REFERENCE:
        return reason
    try:
        outputs = call.outputs(call.unwritten(inputs), backend)
    except BackendUnavailableError as error:
        return str(error)
    compared = (call.case.compared(tuple(values)) for values in (outputs, expected))
    for i, (a, b) in enumerate(zip(*compared, strict=True)):
        difference = ((a.double() - b.double()).norm() / b.double().norm()).item()
        if not difference <= AGREEMENT[call.dtype]:
            return f'WRONG: output {i} at this shape is off by {difference:.1e} from {REFERENCE}'
    return None


def rotate(steps: Sequence[Run]) -> Run:
    """Return a function that runs all steps."""

    def run() -> list:
        return [step() for step in steps]

    return run


def measure(
    call: Call, names: Sequence[str], limits: Ceilings, args: argparse.Namespace, record: Record
) -> bool:
    """Time a call with all backends, print and record; return whether all were correct."""
    about = dict(op=call.op, size=call.size, stage=call.stage.number, dtype=call.dtype)
    names = [backend.name for backend in OPS[call.op][0] if backend.name in names]
    names = [name for name in names if any(lacks(record, about, name, x) for x in PASSES)]
    if not names or record.has(**about, backend=None):
        return True
    row, made = record.begin(**about), False
    with record.guard(row):
        inputs = call.make_inputs()
        expected = call.outputs(call.unwritten(inputs), REFERENCE)
        differentiable = itertools.takewhile(torch.is_floating_point, expected)
        weights = [torch.randn_like(x) for x in differentiable]
        n_copies = min(MAX_COPIES[call.device], 1 + ROTATION_BYTES // num_bytes(inputs))
        copies = [inputs, *(call.make_inputs() for _ in range(n_copies - 1))]
        record.drop(row)
        made = True
    if not made:
        return False
    about['copies'] = n_copies
    timed, good = [], True
    for name in names:
        row, right = record.begin(**about, backend=name), False
        with record.guard(row):
            reason = not_timed(call, name, inputs, expected)
            if reason is None:
                timed.append(name)
                record.drop(row)
            else:
                print(f'  {name:10} {reason}', flush=True)
                row['skipped'] = reason
            right = reason is None or not reason.startswith('WRONG')
        good = good and right

    moved = call.moved(inputs, expected, weights)
    del expected
    # on a GPU one row at a time, on a CPU the backends in alternation
    groups = [timed] if call.device == 'cpu' else [[name] for name in timed]
    for which, group in itertools.product(PASSES, groups):
        terms = call.floor(moved, which, limits)
        runs, rows = {}, {}
        for name in group:
            if not lacks(record, about, name, which):
                continue
            row = record.begin(**about, backend=name, **{'pass': which}, floor=terms)
            with record.guard(row):
                steps = [
                    functools.partial(call.outputs, copy, name)
                    if which == PASSES[0]
                    else call.step(copy, name, weights)
                    for copy in copies
                ]
                runs[name], row['method'] = prepare(rotate(steps), call.device)
                rows[name] = row
        with record.guard(*rows.values()):
            times = medians(runs, args.repeats, timer_for(call.device), args.seconds)
            for name, total in times.items():
                rows[name]['seconds'] = seconds = total / n_copies
                rows[name]['percent of floor'] = 100 * max(terms.values()) / seconds
        compare(record, about, which)
        for name, row in rows.items():
            good = good and 'seconds' in row
            if 'seconds' in row:
                print(
                    f'  {name:10} {which:17} {1e6 * row["seconds"]:12.1f} us '
                    f'{row["ratio to fastest"]:8.2f} x {row["percent of floor"]:7.1f} % of '
                    f'{max(terms, key=terms.get)[:-4]}',
                    flush=True,
                )
    return good


def lacks(record: Record, about: dict, backend: str, which: str) -> bool:
    """Return whether there is no row for a backend's pass, nor one that skips the backend."""
    return not any(record.has(**about, backend=backend, **{'pass': x}) for x in (which, None))


def compare(record: Record, about: dict, which: str) -> None:
    """Add the ratio to the fastest backend to the rows of a call."""
    alike = about | {'pass': which}
    rows = [
        row
        for row in record.rows
        if 'seconds' in row and all(row.get(key) == value for key, value in alike.items())
    ]
    for row in rows:
        row['ratio to fastest'] = row['seconds'] / min(other['seconds'] for other in rows)
    record.save()


def prepare(run: Run, device: str) -> tuple[Run, str]:
    """Return a run to repeat, as a CUDA graph if it can be captured, and the method's name."""
    if device == 'cpu':
        return run, 'calls'
    try:
        return graphed(run), 'CUDA graph'
    except RuntimeError as reason:
        torch.cuda.synchronize()
        return run, f'launches, as it cannot be captured: {str(reason).splitlines()[0]}'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument(
        '--sizes', nargs='+', type=int, help=f'image sizes in pixels (default: {SIZES})'
    )
    parser.add_argument('--ops', nargs='+', choices=CASES, default=list(CASES))
    parser.add_argument(
        '--backends',
        nargs='+',
        choices=NAMES,
        default=[name for name in NAMES if name != ORACLE],
        help='default: all except the oracle, which runs a Python step per token',
    )
    return parse(parser)


def main() -> int:
    args = parse_args()
    record = Record(args.out, args.device, args.append)
    print('measuring what the machine does at best', flush=True)
    limits = ceilings(args.device, args.dtypes, record.machine)
    record.note('ceilings', vars(limits))
    print(f'copy {limits.copy / 1e9:.0f} GB/s', end='')
    for name, rate in limits.arithmetic.items():
        print(f', {name} {rate / 1e12:.2f} TFLOP/s', end='')
    print('' if limits.exponentials is None else f', {limits.exponentials:.2e} exponentials/s')
    good = True
    for size in args.sizes or SIZES[args.device]:
        for op in args.ops:
            for stage in stages(args.arch, size):
                for dtype in args.dtypes:
                    call = Call(op, size, stage, dtype, args.device)
                    print(
                        f'{op}, {size} pixels, stage {stage.number}: {stage.length} tokens, '
                        f'{stage.kept} kept, {stage.channels} channels, {dtype}',
                        flush=True,
                    )
                    good = measure(call, args.backends, limits, args, record) and good
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
