"""open-cd beside current mmcv and mmsegmentation: importing this module imports it.

In a config::

    custom_imports = dict(imports=['mmdynamicvis.change_detection.opencd'])

Start such a config with ``mim train mmdynamicvis CONFIG``: open-cd's own tools import open-cd
before they read a config. In code, import this module before anything else imports open-cd.

open-cd 1.1.0 asserts mmcv < 2.2.0 and mmsegmentation < 1.3.0 when it is imported, although all of
it runs on later ones; with torch >= 2.4 there are only later ones. So a ``__version__`` beyond its
bound reads as the last accepted one while open-cd's own first module runs, and its true value
again afterwards, whether the import succeeds or not. Where the versions fit nothing is touched.

Raises:
    ImportError: open-cd is not installed; the message says how to install it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

from mmengine.utils import digit_version

# package -> the version below which open-cd 1.1.0 asserts it to be, and the last one it accepts
_BOUNDS = {'mmcv': ('2.2.0', '2.1.0'), 'mmseg': ('1.3.0', '1.2.2')}


def _import_opencd() -> None:
    spec = find_spec('opencd')
    if spec is None or spec.origin is None:  # no origin: a mere folder of that name
        raise ImportError(
            'open-cd is not installed, and it is not on PyPI. Get it without changing any other '
            'package: git clone https://github.com/likyoo/open-cd && '
            'pip install --no-deps --no-build-isolation -e open-cd',
            name='opencd',
        )
    # Imported by open-cd as well: mmdet is to see the true versions.
    import_module('mmdet')
    with _accepted_versions():
        import_module('opencd')


@contextmanager
def _accepted_versions() -> Iterator[None]:
    true_versions = {}
    try:
        for name, (bound, accepted) in _BOUNDS.items():
            package = import_module(name)
            if digit_version(package.__version__) >= digit_version(bound):
                true_versions[package] = package.__version__
                package.__version__ = accepted
        yield
    finally:
        for package, version in true_versions.items():
            package.__version__ = version


_import_opencd()
