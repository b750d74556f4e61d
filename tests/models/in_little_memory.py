"""Runs the backbone on one image and prints what it adds to the memory; see test_memory.py."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch

from mmdynamicvis import DynamicVis


def resident(field: str) -> float:
    """Resident memory of this process in MiB, now (VmRSS) or at its peak (VmHWM)."""
    status = Path('/proc/self/status').read_text()
    return int(re.search(rf'{field}:\s*(\d+) kB', status).group(1)) / 1024


def main() -> None:
    arch, size = sys.argv[1], int(sys.argv[2])
    model = DynamicVis(arch).eval()
    with torch.inference_mode():
        model(torch.zeros(1, 3, 32, 32))  # libraries load on first use
        image = torch.randn(1, 3, size, size)
        Path('/proc/self/clear_refs').write_text('5')  # forget the peak of building the model
        before = resident('VmRSS')
        outputs = model(image)
    assert all(output.isfinite().all() for output in outputs)
    print(resident('VmHWM') - before)


if __name__ == '__main__':
    main()
