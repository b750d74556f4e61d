"""Import open-cd together with current versions of mmcv and mmsegmentation.

In a config::

    custom_imports = dict(imports=['mmdynamicvis.change_detection.opencd'])

Run such a config with ``mim train mmdynamicvis CONFIG``, because open-cd's own tools import open-cd
before they read a config. In code, import this module before anything else imports open-cd.

open-cd 1.1.0 asserts mmcv < 2.2.0 and mmsegmentation < 1.3.0 when it is imported, although it runs
on later versions; with torch >= 2.4 only later versions are available. Therefore, a ``__version__``
beyond its bound is set to the last accepted version while open-cd is imported, and restored
afterwards, whether the import succeeds or not. Versions within the bounds are not changed.

Raises:
    ImportError: open-cd is not installed; the message says how to install it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

from mmengine.utils import digit_version

# package -> exclusive upper bound asserted by open-cd 1.1.0, and the last version it accepts
_BOUNDS = {'mmcv': ('2.2.0', '2.1.0'), 'mmseg': ('1.3.0', '1.2.2')}


def _import_opencd() -> None:
    spec = find_spec('opencd')
    if spec is None or spec.origin is None:  # no origin: a folder of that name, not a package
        raise ImportError(
            'open-cd is not installed, and it is not on PyPI. Get it without changing any other '
            'package: git clone https://github.com/likyoo/open-cd && '
            'pip install --no-deps --no-build-isolation -e open-cd',
            name='opencd',
        )
    # open-cd imports mmdet, which must see the true versions
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
