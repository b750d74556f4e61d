"""An index over a folder of images, by the command line."""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from running import run_tool

from mmdynamicvis import DynamicVis
from mmdynamicvis.embedding import Embedder, Embeddings
from mmdynamicvis.embedding.image_index import settings_of
from mmdynamicvis.fileio import only_writer
from mmdynamicvis.models.weights import save_weights
from mmdynamicvis.retrieval import ApproximateIndex, VectorIndex
from mmdynamicvis.retrieval.approximate_index import numbers_of

ARCH = dict(embed_dims=(8, 12, 16, 64), depths=(1, 1, 1, 1))


def call(checkout: Path, *arguments: object, error: str | None = None) -> str:
    """Return what the command prints; ``error`` is what it must fail with, in one line."""
    done = run_tool(checkout / 'tools/search_images.py', *arguments)
    assert done.returncode == int(error is not None), done.stderr
    if error is not None:
        assert re.search(f'^error: .*{error}', done.stderr, re.MULTILINE), done.stderr
    return done.stdout


def write_images(folder: Path, seeds: range) -> list[Path]:
    folder.mkdir()
    paths = []
    for seed in seeds:
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        paths.append(folder / f'image_{seed}.png')
        cv2.imwrite(str(paths[-1]), cv2.resize(coarse, (64, 64)))
    return paths


def test_build_add_and_find(checkout: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = tmp_path / 'model.safetensors'
    save_weights(DynamicVis(ARCH, img_size=64).state_dict(), model)
    first = write_images(tmp_path / 'first', range(4))
    second = write_images(tmp_path / 'second', range(4, 7))
    (tmp_path / 'second/damaged.png').write_bytes(b'no image')
    index = tmp_path / 'index.safetensors'

    said = call(checkout, 'build', index, tmp_path / 'first', '--model', model)
    assert 'index.safetensors: 4 images' in said
    for added in ('3 images added, 7 in all, 1 left out', '0 images added, 7 in all, 1 left out'):
        assert added in call(checkout, 'add', index, tmp_path / 'second')
    assert Embeddings.load(index).names == [str(path) for path in (*first, *second)]

    picture = tmp_path / 'found.png'
    for code in ('float', 'hash64'):
        options = ('-k', 3, '--code', code, '--picture', picture)
        said = call(checkout, 'find', index, second[1], first[0], *options)
        lines = said[said.index(f'{second[1]}\n') :].splitlines()
        assert [lines[0], lines[4]] == [str(second[1]), str(first[0])]
        # itself, then two others
        assert lines[1].split() == ['0.0000', str(second[1])]
        assert lines[5].split() == ['0.0000', str(first[0])]
        assert picture.stat().st_size > 0
        picture.unlink()

    options = ('build', index, tmp_path / 'first', '--model', model)
    call(checkout, *options, error='index.safetensors exists; pass --force')
    call(
        checkout,
        'build',
        model,
        tmp_path / 'first',
        '--model',
        model,
        '--force',
        error='model.safetensors, which is read',
    )
    call(
        checkout,
        'find',
        index,
        first[0],
        '--picture',
        first[1],
        error='image_1.png exists; remove it',
    )
    save_weights(DynamicVis(ARCH, img_size=64).state_dict(), model)
    changed = 'model.safetensors has changed since the index was made'
    call(checkout, 'find', index, first[0], error=changed)


def test_what_may_happen_to_images(checkout: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, index = tmp_path / 'model.safetensors', tmp_path / 'index.npz'
    save_weights(DynamicVis(ARCH, img_size=64).state_dict(), model)
    folder = tmp_path / 'images'
    images = write_images(folder, range(4))
    cv2.imwrite(str(folder / 'small.png'), np.zeros((16, 16, 3), np.uint8))

    index.write_text('hello')
    call(checkout, 'find', index, images[0], error=r'index\.npz .*damaged or holds no embeddings')
    index.unlink()
    bad = tmp_path / 'bad'
    bad.mkdir()
    (bad / 'a.png').write_text('no image')
    call(
        checkout, 'build', index, bad, '--model', model, error=r'none of the 1 images in .*bad fits'
    )
    assert not index.exists()

    assert '4 images, 1 left out' in call(checkout, 'build', index, folder, '--model', model)
    first = Embeddings.load(index)
    # one changes, one becomes unfit, one goes away
    written, first_bytes = index.stat().st_mtime, images[1].read_bytes()
    images[1].write_bytes(images[0].read_bytes())
    images[2].write_bytes(b'no image')
    for path in images[1:3]:
        os.utime(path, (written + 10, written + 10))
    images[3].unlink()
    said = call(checkout, 'add', index, folder)
    assert '0 images added, 3 in all, 2 of changed files, 2 left out' in said
    second = Embeddings.load(index)
    assert second.names == [str(images[i]) for i in (0, 3, 1)]
    torch.testing.assert_close(second.vectors, first.vectors[[0, 3, 0]])

    # an older file in its place, and another run at the same time
    images[1].write_bytes(first_bytes)
    os.utime(images[1], (written - 1000, written - 1000))
    with only_writer(index):
        call(checkout, 'add', index, folder, error=r'another process is writing into .*index\.npz')
    said = call(checkout, 'add', index, folder)
    assert '0 images added, 3 in all, 1 of changed files, 2 left out' in said
    third = Embeddings.load(index)
    assert third.names == second.names
    torch.testing.assert_close(third.vectors, first.vectors[[0, 3, 1]])

    picture = tmp_path / 'found.png'
    said = call(checkout, 'find', index, images[0], '-k', 3, '--picture', picture)
    assert str(images[3]) in said
    assert picture.stat().st_size > 0
    call(checkout, 'find', index, folder / 'small.png', error=r'small\.png has 16 x 16 pixels')
    Embeddings(second.names, second.vectors).save(index)
    call(checkout, 'find', index, images[0], error=r'does not say how it was made')
    Embeddings([], second.vectors[:0], second.settings).save(index)
    call(checkout, 'find', index, images[0], error=r'is empty')


def test_approximate_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('faiss', reason='needs faiss')
    import search_images

    def say(*arguments: object) -> str:
        monkeypatch.setattr('sys.argv', ['search_images.py', *map(str, arguments)])
        search_images.main()
        return capsys.readouterr().out

    torch.manual_seed(0)
    model, index = tmp_path / 'model.safetensors', tmp_path / 'index.parquet'
    fast = tmp_path / 'index.parquet.faiss'
    save_weights(DynamicVis(ARCH, img_size=64).state_dict(), model)
    first = write_images(tmp_path / 'first', range(5))
    second = write_images(tmp_path / 'second', range(5, 7))
    build = ('build', index, tmp_path / 'first', '--model', model)
    with pytest.raises(ValueError, match=r'recall is 1\.5'):
        say(*build, '--approximate', '--recall', 1.5)
    assert '100.0% of the 10 nearest images are found' in say(*build, '--approximate')
    assert '2 images added, 7 in all' in say('add', index, tmp_path / 'second')
    with pytest.raises(ValueError, match=r'not in .*: other\.png. Nothing is removed'):
        say('remove', index, first[0], 'other.png')
    assert '1 images removed, 6 in all' in say('remove', index, first[0])
    assert len(ApproximateIndex.load(fast)) == 6

    found = say('find', index, second[1], '-k', 6)
    lines = found[found.index(f'{second[1]}\n') :].splitlines()
    assert lines[1].split() == ['0.0000', str(second[1])]
    assert {line.split()[1] for line in lines[1:]} == {str(p) for p in (*first[1:], *second)}
    exact = say('find', index, second[1], '-k', 6, '--exact')
    assert exact[exact.index(f'{second[1]}\n') :].splitlines() == lines

    # an index file that another program replaced
    old = Embeddings.load(index)
    Embeddings(old.names[1:], old.vectors[1:], old.settings).save(index)
    with pytest.raises(ValueError, match=r'is of other images than .*index\.parquet'):
        say('find', index, second[1])
    with pytest.raises(FileExistsError, match=r'index\.parquet exists'):
        say(*build)
    say(*build, '--force')
    assert not fast.exists()  # it would be of other images


def test_more_results_than_the_clusters_hold_are_those_of_exact_search(tmp_path: Path) -> None:
    pytest.importorskip('faiss', reason='needs faiss')
    import search_images

    vectors = torch.randn(800, 8, generator=torch.Generator().manual_seed(0))
    embeddings = Embeddings([f'{i}.png' for i in range(800)], vectors, {})
    fast = ApproximateIndex(vectors, numbers_of(embeddings.names), recall=0.01)
    fast.save(tmp_path / 'index.parquet.faiss')
    assert (fast.search(vectors[:1], 810) < 0).sum() > 110  # of all clusters it searches one
    distances, places = search_images.search_fast(
        tmp_path / 'index.parquet', embeddings, vectors[:1], 700
    )
    index = VectorIndex('cosine')
    index.add(vectors)
    expected = index.search(vectors[:1], 700)
    assert distances == expected[0].tolist()
    assert places == expected[1].tolist()


def write_part(folder: Path, number: int, settings: dict, seeds: range) -> None:
    """Write scenes of four windows each, and the partition of their vectors."""
    shapely = pytest.importorskip('shapely')
    rasterio = pytest.importorskip('rasterio')
    from mmdynamicvis.embedding.partitions import Member, write_partition

    rows: dict[str, list] = {name: [] for name in ('source', 'date', 'row', 'column', 'geometry')}
    windows, members = [], []
    for seed in seeds:
        path = folder / f'scene_{seed}.tif'
        pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        pixels = cv2.resize(pixels, (128, 128), interpolation=cv2.INTER_CUBIC)
        place = rasterio.transform.from_origin(seed, 1, 1 / 128, 1 / 128)
        shape = dict(height=128, width=128, count=3, dtype='uint8', crs='EPSG:4326')
        with rasterio.open(path, 'w', driver='GTiff', transform=place, **shape) as file:
            file.write(pixels.transpose(2, 0, 1))
        for row in (0, 64):
            for column in (0, 64):
                left, top = place * (column, row)
                outline = shapely.box(left, top - 0.5, left + 0.5, top)
                values = str(path), date(2020, 1, 1 + seed), row, column, shapely.to_wkb(outline)
                for name, value in zip(rows, values, strict=True):
                    rows[name].append(value)
                windows.append(pixels[row : row + 64, column : column + 64])
        members.append(Member(str(path), '', 0, 4))
    vectors = Embedder(settings['model'], device='cpu')(windows).numpy()
    count = len(windows)
    same = dict(height=[64] * count, width=[64] * count, crs=['EPSG:4326'] * count)
    columns = dict(rows, **same, nodata=[0.0] * count, vector=vectors)
    (folder / 'vectors').mkdir(exist_ok=True)
    write_partition(folder / f'vectors/part-{number:06}.parquet', columns, members, settings)


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, dict]:
    """The folder of an archive with two partitions of four scenes, and its settings."""
    pytest.importorskip('pyarrow', reason='needs pyarrow')
    torch.manual_seed(0)
    model, folder = tmp_path / 'model.safetensors', tmp_path / 'archive'
    save_weights(DynamicVis(ARCH, img_size=64).state_dict(), model)
    folder.mkdir()
    settings = settings_of(model)
    write_part(folder, 0, settings, range(3))
    write_part(folder, 1, settings, range(3, 4))
    return folder, settings


def results(said: str) -> list[str]:
    """Return the names found."""
    return re.findall(r'^ +[\d.]+  (.+)$', said, re.MULTILINE)


@pytest.mark.parametrize('approximate', [False, True])
def test_index_of_an_archive(
    checkout: Path, tmp_path: Path, archive: tuple[Path, dict], approximate: bool
) -> None:
    if approximate:
        pytest.importorskip('faiss', reason='needs faiss')
    folder, settings = archive
    index = tmp_path / 'index.parquet'
    build = ('build', index, folder, *(['--approximate'] if approximate else []))
    assert '16 images of 2 partitions' in call(checkout, *build)
    query = tmp_path / 'query.png'
    with_scene = cv2.imread(str(folder / 'scene_2.tif'))
    cv2.imwrite(str(query), with_scene[64:, :64])
    target = f'{folder}/scene_2.tif[64:128,0:64]'
    picture = tmp_path / 'found.png'
    found = results(call(checkout, 'find', index, query, '-k', 20, '--picture', picture))
    assert found[0] == target
    assert len(found) == 16
    # the picture shows the windows, not gray squares
    assert np.mean([np.ptp(row) for row in cv2.imread(str(picture))]) > 100

    def filtered(*options: object) -> set[str]:
        return {*results(call(checkout, 'find', index, query, '-k', 20, *options))}

    south_west = [f'{folder}/scene_{n}.tif[64:128,0:64]' for n in range(4)]
    assert filtered('--bbox', 1.1, 0.1, 2.4, 0.4) == {
        *south_west[1:3],
        f'{folder}/scene_1.tif[64:128,64:128]',
    }
    assert filtered('--bbox', 0, 0.1, 4, 0.4, '--to', '2020-01-01') == {
        south_west[0],
        f'{folder}/scene_0.tif[64:128,64:128]',
    }
    assert len(filtered('--from', '2020-01-03')) == 8
    assert len(filtered('--from', '2020-01-03', '--code', 'binary')) == 8
    assert filtered('--from', '2020-01-04', '--to', '2020-01-04', '--exact') == {
        name for name in found if 'scene_3' in name
    }
    assert 'wrong' not in found
    missing = ('find', index, query, '--bbox', 50, 0, 51, 1)
    call(checkout, *missing, error='none of the 16 images')

    # partitions that are new are added once; scenes and windows are removed
    write_part(folder, 2, settings, range(4, 5))
    assert '4 images of 1 partitions added' in call(checkout, 'add', index, folder)
    assert '0 images of 0 partitions added' in call(checkout, 'add', index, folder)
    assert len(filtered('--from', '2020-01-05')) == 4
    said = call(checkout, 'remove', index, folder / 'scene_4.tif', target)
    assert '5 images removed, 15 in all' in said
    assert filtered() == {*found} - {target}
    assert '0 images of 0 partitions added' in call(checkout, 'add', index, folder)
    call(checkout, 'remove', index, target, error='Nothing is removed')
    if approximate:
        fast = ApproximateIndex.load(tmp_path / 'index.parquet.faiss')
        assert torch.equal(fast.ids, numbers_of(sorted(filtered())).sort().values)

    # an index from which all is removed
    call(checkout, 'remove', index, *(folder / f'scene_{n}.tif' for n in range(4)))
    for options in ((), ('--from', '2020-01-01')):
        call(checkout, 'find', index, query, *options, error='is empty')


def test_bad_input_about_archives(
    checkout: Path, tmp_path: Path, archive: tuple[Path, dict]
) -> None:
    folder, settings = archive
    index, plain = tmp_path / 'index.parquet', tmp_path / 'plain.parquet'
    call(checkout, 'build', index, folder, '--model', 'x', error='--model: .* are made already')
    call(checkout, 'build', tmp_path / 'a.npz', folder, error=r'must end with \.parquet')
    images = write_images(tmp_path / 'images', range(2))
    call(checkout, 'build', plain, tmp_path / 'images', error='give --model')
    call(checkout, 'build', plain, tmp_path / 'images', '--model', settings['model'])
    call(checkout, 'build', index, folder)
    call(checkout, 'add', plain, folder, error='is of a folder of images')
    call(checkout, 'add', index, tmp_path / 'images', error='is of the vectors of an archive')
    call(checkout, 'find', plain, images[0], '--bbox', 0, 0, 1, 1, error='have no places')
    call(checkout, 'find', plain, images[0], '--from', '2020-01-01', error='have no dates')
    area = tmp_path / 'area.gpkg'
    call(checkout, 'find', index, images[0], '--area', area, error='does not exist')
    write_part(folder, 2, {**settings, 'tile': 64}, range(4, 5))
    call(checkout, 'build', index, folder, '--force', error='part-000002.* is of other settings')
    (folder / 'vectors/part-000002.parquet').write_bytes(b'PAR1')
    call(checkout, 'add', index, folder, error='part-000002.* is damaged or no partition')


def test_clusters_are_searched_among_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('faiss', reason='needs faiss')
    import search_images

    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(900, 8, generator=generator)
    embeddings = Embeddings([f'{i}.png' for i in range(900)], vectors, {})
    path = tmp_path / 'index.parquet'
    fast = ApproximateIndex(vectors, numbers_of(embeddings.names))
    fast.save(tmp_path / 'index.parquet.faiss')
    among = torch.arange(0, 900, 2)
    index = VectorIndex('cosine')
    index.add(vectors[among])
    _, rows = index.search(vectors[:20], 10)
    searched = []
    search = ApproximateIndex.search
    monkeypatch.setattr(
        ApproximateIndex, 'search', lambda *args: searched.append(args[3]) or search(*args)
    )
    _, places = search_images.search_fast(path, embeddings, vectors[:20], 10, among)
    assert torch.equal(searched[0], numbers_of([embeddings.names[i] for i in among]))
    pairs = zip(places, among[rows].tolist(), strict=True)
    assert sum(len({*a} & {*b}) for a, b in pairs) >= 190
    assert not {place % 2 for row in places for place in row} - {0}
