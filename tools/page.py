r"""Serve a local web page to try models: predictions, selected tokens, similar images.

    make page
    python tools/page.py --model CONFIG CHECKPOINT --model CONFIG2 CHECKPOINT2 --samples IMAGES
    python tools/page.py --model CONFIG CHECKPOINT --index archive.safetensors IMAGES

Without --model, the page has the model of `make demo`, its test images as samples, and an index of
its training images. Build other indices with tools/search_images.py. See docs/page.md.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from mmdynamicvis.embedding import Embeddings
from mmdynamicvis.embedding.image_index import embed_images, settings_of
from mmdynamicvis.embedding.images import PLAIN, find_images

CHECKOUT = Path(__file__).resolve().parents[1]
DEMO_CONFIG = 'configs/classification/dynamicvis_tiny_1xb16-demo_synthetic-128px.py'
MAX_SAMPLES = 8


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--model',
        nargs='+',
        action='append',
        metavar=('CONFIG', 'CHECKPOINT'),
        help='config and checkpoint, or a name of shipped weights; may be given several times',
    )
    parser.add_argument(
        '--demo',
        type=Path,
        default=CHECKOUT / 'work_dirs/demo',
        help='work folder of tools/demo.py, for the page without --model (default: %(default)s)',
    )
    parser.add_argument('--samples', type=Path, metavar='FOLDER', help='images to choose from')
    parser.add_argument(
        '--index',
        type=Path,
        nargs=2,
        metavar=('INDEX', 'FOLDER'),
        help='index to search for similar images, and the folder that contains all its images',
    )
    parser.add_argument(
        '--host', default='127.0.0.1', help='address to listen on (default: %(default)s)'
    )
    parser.add_argument('--port', type=int, default=7860, help='(default: %(default)s)')
    parser.add_argument('--max-upload-mb', type=int, default=20, help='(default: %(default)s)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, etc. (default: a GPU, if any)')
    args = parser.parse_args()
    for model in args.model or []:
        if len(model) > 2:
            parser.error(f'--model takes a config and a checkpoint, or a name; got {model}')
    return args


def demo_model(folder: Path) -> list[str]:
    last = folder / 'last_checkpoint'
    if not last.is_file():
        raise FileNotFoundError(
            f'there is no {last}: run `make demo`, or name a model with --model CONFIG CHECKPOINT'
        )
    return [str(CHECKOUT / DEMO_CONFIG), last.read_text().strip()]


def demo_images(folder: Path, split: str) -> list[Path]:
    lines = (folder / f'data/{split}.txt').read_text().splitlines()
    return [folder / 'data' / line.rpartition(' ')[0] for line in lines]


def demo_index(folder: Path, model: list[str], device: str | None) -> list[Path]:
    """Return the index of the training images, rebuilt if the model changed, and their folder."""
    path, settings = folder / 'index.safetensors', settings_of(*model)
    if not path.is_file() or Embeddings.load(path).settings != settings:
        print('making an index of the training images', flush=True)
        embed_images(demo_images(folder, 'train'), settings, device).save(path)
    return [path, folder / 'data']


def main() -> None:
    args = parse_args()
    models, index, samples = args.model or [demo_model(args.demo)], args.index, []
    # imported late because this takes seconds and requires gradio
    from mmdynamicvis.page.models import PageModel
    from mmdynamicvis.page.nearest import NearestImages
    from mmdynamicvis.page.server import serve_page

    if args.model is None:
        samples = demo_images(args.demo, 'val')
        index = index or demo_index(args.demo, models[0], args.device)
    if args.samples:
        samples = [path for path in find_images(args.samples) if path.suffix.lower() in PLAIN]
    samples = samples[:: max(1, len(samples) // MAX_SAMPLES)][:MAX_SAMPLES]
    # exit normally, so that temporary files are removed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with serve_page(
        [PageModel(*model, device=args.device) for model in models],
        samples,
        index and NearestImages(*index, device=args.device),
        host=args.host,
        port=args.port,
        max_upload_mb=args.max_upload_mb,
    ) as page:
        print(f'the page is at {page.local_url} until Ctrl+C', flush=True)
        page.block_thread()


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        print()
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
