"""Compile every Triton kernel for given GPU architectures, without a GPU, and print its resources.

    python tools/dev/compile_kernels.py                    # sm_80 (A100), sm_89 (L20), sm_90 (H200)
    python tools/dev/compile_kernels.py --arch 90 --only token_update
    python tools/dev/compile_kernels.py --arch 90 --only selective_scan_fwd --loops

Prints registers and spilled bytes per thread and shared memory per program. The exit status is 1 if
a kernel does not compile, or spills more than a few bytes. ``--loops`` also counts the instructions
of each loop: all, MUFU (exponentials and similar functions, 4 per clock compared with 32 of other
instructions) and loads from global memory. One iteration of a scan's loop processes GROUP tokens.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# An interpreted kernel cannot be compiled.
os.environ['TRITON_INTERPRET'] = '0'

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mmdynamicvis.ops.causal_conv1d import triton as causal_conv1d
from mmdynamicvis.ops.kernel_variant import KernelVariant
from mmdynamicvis.ops.selective_scan import triton as selective_scan
from mmdynamicvis.ops.token_select import variants as token_select

MODULES = (selective_scan, causal_conv1d, token_select)
ARCHS = (80, 89, 90)
NARROWEST = 96
"""Number of channels of the first stage of base."""
SPILL_LIMIT = 32
"""Bytes per thread: ptxas spills a few words at times, to fit more warps."""
PTXAS = Path(triton.__file__).parent / 'backends/nvidia/bin/ptxas'


class Needs(NamedTuple):
    """Resources of a compiled kernel."""

    registers: int
    """Per thread."""
    spilled: int
    """Bytes per thread that do not fit into registers."""
    shared: int
    """Bytes of shared memory per program."""
    loops: tuple[Counter[str], ...]
    """Numbers of instructions of each loop, innermost or not, by the prefix of their names."""


@dataclass(frozen=True)
class Job:
    """A kernel variant by its index in :func:`variants`, because kernels cannot be pickled."""

    index: int
    arch: int


def variants() -> list[KernelVariant]:
    """Return every kernel variant of the package."""
    return [variant for module in MODULES for variant in module.variants()]


def describe(variant: KernelVariant) -> str:
    """Name a variant: its kernel, its types and its constants."""
    types = sorted(set(variant.signature.values()) - {'i32', 'i64'})
    constants = (f'{name}={value}' for name, value in sorted(variant.constants.items()))
    return f'{variant.kernel.fn.__name__}({" ".join([*types, *constants])})'


def compile_variant(variant: KernelVariant, arch: int) -> Needs:
    """Compile a variant for compute capability ``arch`` and parse the report of ptxas."""
    names = variant.kernel.arg_names
    signature = {name: variant.signature.get(name, 'constexpr') for name in names}
    # As in a launch from a real model: tensors are aligned to 16 bytes and channels are multiples
    # of 16, which Triton exploits unless a kernel forbids it.
    aligned = [
        i
        for i, parameter in enumerate(variant.kernel.params)
        if (signature[parameter.name] == 'i32' and not parameter.do_not_specialize)
        or signature[parameter.name].startswith('*')
    ]
    source = ASTSource(
        fn=variant.kernel,
        signature=signature,
        constexprs=variant.constants,
        attrs={(i,): [['tt.divisibility', 16]] for i in aligned},
    )
    options = dict(num_warps=variant.num_warps, num_stages=variant.num_stages)
    compiled = triton.compile(source, target=GPUTarget('cuda', arch, 32), options=options)
    with tempfile.TemporaryDirectory() as folder:
        ptx = Path(folder, 'kernel.ptx')
        ptx.write_text(compiled.asm['ptx'])
        name = f'sm_{arch}a' if arch == 90 else f'sm_{arch}'
        command = [PTXAS, '-v', f'-arch={name}', ptx, '-o', os.devnull]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        loops = tuple(find_loops(compiled.asm['cubin'], Path(folder)))
    registers = int(re.search(r'Used (\d+) registers', report)[1])
    spilled = sum(int(n) for n in re.findall(r'(\d+) bytes spill stores', report))
    return Needs(registers, spilled, compiled.metadata.shared, loops)


def find_loops(cubin: bytes, folder: Path) -> Iterator[Counter[str]]:
    """Yield the instructions of each loop of a compiled kernel, by name (``LDG``, ``MUFU``)."""
    path = folder / 'kernel.cubin'
    path.write_bytes(cubin)
    command = [PTXAS.with_name('nvdisasm'), '-c', path]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names: list[str] = []
    labels: dict[str, int] = {}
    for line in listing.splitlines():
        label = re.match(r'\s*(\.L_\w+):', line)
        if label:
            labels[label[1]] = len(names)
        instruction = re.search(r'/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?(\w+)', line)
        if not instruction:
            continue
        names.append(instruction[1])
        target = re.search(r'BRA.*`\((\.L_\w+)\)', line)
        first = labels.get(target[1], len(names)) if target else len(names)
        if first < len(names) - 1:
            yield Counter(names[first:])


def _work(job: Job) -> Needs | str:
    try:
        return compile_variant(variants()[job.index], job.arch)
    except Exception as error:  # any compiler error is reported with the kernel's name
        return f'{type(error).__name__}: {error}'


def is_narrow(variant: KernelVariant) -> bool:
    """Return whether a variant has the fewest channels; others differ only in block sizes."""
    return variant.constants.get('C', NARROWEST) == NARROWEST


def results(
    archs: list[int], only: str, narrow: bool, workers: int
) -> Iterator[tuple[str, int, Needs | str]]:
    """Compile in parallel; yield (name of the variant, architecture, result) in order."""
    chosen = [
        (i, describe(variant))
        for i, variant in enumerate(variants())
        if only in describe(variant) and (is_narrow(variant) or not narrow)
    ]
    jobs = [(name, Job(i, arch)) for i, name in chosen for arch in archs]
    with ProcessPoolExecutor(workers) as pool:
        outcomes = pool.map(_work, (job for _, job in jobs))
        for (name, job), outcome in zip(jobs, outcomes, strict=True):
            yield name, job.arch, outcome


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--arch', type=int, nargs='+', default=list(ARCHS), help='90 for sm_90')
    parser.add_argument('--only', default='', help='part of the name of the variants to compile')
    parser.add_argument('--narrow', action='store_true', help='compile only the fewest channels')
    parser.add_argument('--loops', action='store_true', help='count the instructions of loops')
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes')
    return parser.parse_args()


def summary(needs: dict[tuple[str, int], list[Needs]]) -> Iterator[str]:
    """Yield a line per kernel and architecture, with the maximum over variants."""
    columns = ('variants', 'registers', 'spilled', 'shared')
    yield f'{"kernel":34s}{"arch":8s}' + ''.join(f'{column:>10s}' for column in columns)
    for (kernel, arch), rows in sorted(needs.items()):
        registers, spilled, shared = (max(row[i] for row in rows) for i in range(3))
        yield f'{kernel:34s}sm_{arch:<5d}{len(rows):10d}{registers:10d}{spilled:10d}{shared:10d}'


def main() -> int:
    args = parse_args()
    bad = 0
    needs = defaultdict(list)
    print('registers, spilled bytes, shared bytes')
    for name, arch, outcome in results(args.arch, args.only, args.narrow, args.workers):
        if isinstance(outcome, str):
            bad += 1
            print(f'sm_{arch} does not compile: {name}\n    {outcome}', flush=True)
            continue
        bad += outcome.spilled > SPILL_LIMIT
        needs[name.split('(')[0], arch].append(outcome)
        print(f'sm_{arch} {outcome.registers:5d}{outcome.spilled:6d}{outcome.shared:7d}  {name}')
        for loop in outcome.loops if args.loops else ():
            counts = f'{loop["MUFU"]} MUFU, {loop["LDG"]} loads'
            print(f'      a loop of {loop.total()} instructions, {counts}')
    count = sum(map(len, needs.values()))
    print('', *summary(needs), sep='\n')
    print(f'{count} variants compiled, {bad} do not compile or spill more than {SPILL_LIMIT} bytes')
    return 1 if bad or not count else 0


if __name__ == '__main__':
    sys.exit(main())
