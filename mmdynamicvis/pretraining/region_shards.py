"""The index of a folder of WebDataset shards: the tar files, their samples and classes."""

from __future__ import annotations

import json
import os
import tarfile
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO
from urllib.parse import urlparse
from urllib.request import url2pathname

from mmengine.logging import print_log

from mmdynamicvis.fileio import replacing

META = 'meta.json'
_REMOTE = ('http', 'https')


@dataclass(frozen=True)
class Shard:
    """One tar file."""

    name: str
    num_samples: int
    sha256: str | None = None
    num_bytes: int | None = None


@dataclass(frozen=True)
class ShardIndex:
    """The shards of a folder, in order, as its ``meta.json`` lists them."""

    shards: tuple[Shard, ...]
    classes: tuple[str, ...] = ()
    """Names of the categories; empty in the published layout, which does not have them."""
    source: dict[str, Any] = field(default_factory=dict)
    """Origin of the samples, for human readers."""
    folder: str = ''
    """Folder or http(s) URL that the index was read from."""

    @property
    def num_samples(self) -> int:
        """Number of samples in all shards."""
        return sum(shard.num_samples for shard in self.shards)

    def address(self, shard: Shard) -> str:
        """Return the path or URL of a shard."""
        return f'{self.folder}/{shard.name}'

    @classmethod
    def read(cls, folder: str | os.PathLike) -> ShardIndex:
        """Read and check the index of a folder.

        For the published layout, whose ``meta.json`` has only ``num_samples``, the samples in every
        ``*.tar`` of a local folder are counted.

        Args:
            folder: A folder, or its http(s) or file URL.

        Raises:
            OSError: The index or a shard does not exist or cannot be read.
            ValueError: The index is invalid, or inconsistent with itself or with the shards.
        """
        folder = _normal(os.fspath(folder))
        where, meta = f'{folder}/{META}', _read_meta(folder)
        if not isinstance(meta, dict) or not isinstance(meta.get('num_samples'), int):
            raise ValueError(f'{where} is no index of shards: it has no integer num_samples')
        for name in ('classes', 'shards'):
            if not isinstance(meta.get(name, []), list):
                raise ValueError(f'{where}: {name} is no list')
        if 'shards' in meta:
            shards = tuple(_parse_shard(entry, where) for entry in meta['shards'])
        else:
            shards = _count_shards(folder)
        index = cls(shards, tuple(meta.get('classes', [])), meta.get('source', {}), folder)
        index._check(meta['num_samples'])
        return index

    def write(self, folder: str | os.PathLike) -> None:
        """Write ``meta.json`` into a folder, atomically."""
        shards = [
            {name: value for name, value in asdict(shard).items() if value is not None}
            for shard in self.shards
        ]
        meta = dict(
            num_samples=self.num_samples,
            classes=list(self.classes),
            shards=shards,
            source=self.source,
        )
        with replacing(Path(folder, META)) as temporary:
            temporary.write_text(json.dumps(meta, indent=1) + '\n', encoding='utf-8')

    def _check(self, num_samples: int) -> None:
        if not self.shards:
            raise ValueError(f'{self.folder} has no shards')
        names = [shard.name for shard in self.shards]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f'{self.folder}/{META} lists {", ".join(twice)} more than once')
        if self.num_samples != num_samples:
            raise ValueError(
                f'{self.folder}: the shards have {self.num_samples} samples, but num_samples in '
                f'{META} is {num_samples}. A shard is missing or of another set: copy the folder '
                'again'
            )
        if not is_remote(self.folder):
            for shard in self.shards:
                self._check_file(shard)

    def _check_file(self, shard: Shard) -> None:
        path = Path(self.folder, shard.name)
        if not path.is_file():
            raise FileNotFoundError(
                f'shard {path} does not exist, but {META} lists it: copy the folder again'
            )
        num_bytes = path.stat().st_size
        if shard.num_bytes not in (None, num_bytes):
            raise ValueError(
                f'shard {path} has {num_bytes} bytes, but {META} says {shard.num_bytes}: copy it '
                'again'
            )


def webdataset() -> ModuleType:
    """Import webdataset, which is optional.

    Raises:
        ImportError: webdataset is not installed.
    """
    try:
        return import_module('webdataset')
    except ImportError as error:
        raise ImportError('streaming shards needs webdataset: pip install webdataset') from error


def open_address(address: str) -> BinaryIO:
    """Open a local file, or stream an http(s) URL without storing it."""
    return webdataset().gopen(address) if is_remote(address) else Path(address).open('rb')


def is_remote(address: str) -> bool:
    """Whether this is an http(s) URL, not a path."""
    return urlparse(address).scheme in _REMOTE


def _normal(folder: str) -> str:
    """Return a URL without a final slash, or an absolute path."""
    address = urlparse(folder)
    if '://' not in folder:
        return str(Path(folder).absolute())
    if address.scheme == 'file':
        return str(Path(url2pathname(address.path)))
    # webdataset supports further schemes, one of which runs shell commands
    if address.scheme not in _REMOTE:
        raise ValueError(f'{folder}: shards are read from a folder or an http, https, file address')
    return folder.rstrip('/')


def _read_meta(folder: str) -> Any:
    where = f'{folder}/{META}'
    try:
        with open_address(where) as stream:
            return json.loads(stream.read())
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'{where} does not exist. It is the index of the shards, which '
            'tools/prepare_data/fmow.py writes last: is this the right folder, and was it finished?'
        ) from error
    except OSError as error:
        raise OSError(f'{where} cannot be read ({error}): check the address') from error
    except ValueError as error:
        raise ValueError(f'{where} is no JSON ({error}): make or copy it again') from error


def _parse_shard(entry: Any, where: str) -> Shard:
    try:
        shard = Shard(**entry)
    except TypeError as error:
        raise ValueError(f'{where}: {entry} describes no shard ({error})') from error
    name, count = shard.name, shard.num_samples
    if not isinstance(name, str) or Path(name).name != name or not name.endswith('.tar'):
        raise ValueError(f'{where}: {name!r} is not the name of a .tar file in the folder')
    if not isinstance(count, int) or count < 1:
        raise ValueError(f'{where}: num_samples of {name} is {count}; a shard has at least one')
    return shard


def _count_shards(folder: str) -> tuple[Shard, ...]:
    where = f'{folder}/{META}'
    if is_remote(folder):
        raise ValueError(
            f'{where} does not list the shards, and a remote folder cannot be listed. Copy the '
            'folder, or write the index of a local copy with ShardIndex.read(COPY).write(COPY) '
            'and put that meta.json beside the shards'
        )
    paths = sorted(Path(folder).glob('*.tar'))
    print_log(
        f'{where} does not list the shards: counting the samples of {len(paths)} tar files. '
        'ShardIndex.read(FOLDER).write(FOLDER) keeps the result',
        'current',
    )
    return tuple(Shard(path.name, _count_samples(path)) for path in paths)


def _count_samples(path: Path) -> int:
    """Count the images from the headers of the tar file, without reading the data."""
    try:
        with tarfile.open(path, 'r:') as tar:
            count = sum(member.name.lower().endswith('.jpg') for member in tar)
    except tarfile.TarError as error:
        raise ValueError(f'shard {path} is truncated or no tar file: {error}') from error
    if not count:
        raise ValueError(f'shard {path} has no .jpg')
    return count
