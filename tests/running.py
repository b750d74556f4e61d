"""Tools run as commands, in the process of the tests: starting Python takes longer than they do."""

from __future__ import annotations

import contextlib
import io
import runpy
import subprocess
import sys
import traceback
import warnings
from pathlib import Path
from unittest import mock


def run_tool(script: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script with its arguments; return what ``subprocess.run`` would, in text."""
    argv = [str(script), *map(str, arguments)]
    output, errors = io.StringIO(), io.StringIO()
    path = [str(script.parent), *sys.path]  # a script finds what lies beside it
    with (
        mock.patch.multiple(sys, argv=argv, path=path),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter('ignore')
        try:
            runpy.run_path(argv[0], run_name='__main__')
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                print(end.code, file=errors)
        except Exception:
            code = 1
            traceback.print_exc()
    return subprocess.CompletedProcess(argv, code, output.getvalue(), errors.getvalue())
