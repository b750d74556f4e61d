r"""Compute initial meta-embeddings from class names with the text tower of a CLIP model.

    python tools/text_meta_embeddings.py fmow.safetensors --classes data/fmow_shards \
        --model ViT-B-32 --weights RemoteCLIP-ViT-B-32.pt

Every name is inserted into several prompts, and the mean of their features is projected to the
width of the region embeddings while preserving the angles between classes. --no-projection keeps
the features, so that those of several files can be compared. The weights are a local file of an
open_clip model, .pt, .pth or .safetensors, such as RemoteCLIP's or FarSLIP's, also with the long
text positions of Long-CLIP; nothing is downloaded and no code in the file is executed. Weights by
OpenAI and FarSLIP require a model named *-quickgelu.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mmdynamicvis.engine.device import choose_device
from mmdynamicvis.fileio import refuse_to_overwrite
from mmdynamicvis.models.weights import load_weights
from mmdynamicvis.pretraining.meta_embeddings import project_keeping_cosines, save_meta_embeddings

TEMPLATES = (
    'a satellite photo of {}.',
    'a satellite image showing {}.',
    'an aerial photo of {}.',
    'an overhead view of {}.',
    'a remote sensing image of {}.',
    '{} seen from above.',
)
# Prefixes of weights that are not used to encode text.
NO_TEXT = ('visual.', 'logit_scale', 'logit_bias')
LONG = 'positional_embedding_res'
"""Positions after the first 20 in weights of Long-CLIP (arXiv 2403.15378), by FarSLIP's name."""
KEPT = 20
SHOWN = 4  # largest number of names in a message


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('target', type=Path, help='.safetensors file to write')
    parser.add_argument(
        '--classes',
        type=Path,
        required=True,
        help='text file with one name per line, folder of shards with meta.json, or COCO JSON',
    )
    width = parser.add_mutually_exclusive_group()
    width.add_argument('--dim', type=int, default=256, help='width of the region embeddings')
    width.add_argument(
        '--no-projection',
        action='store_true',
        help='keep the width of the text features: for TextHead and tools/name_regions.py',
    )
    parser.add_argument(
        '--model',
        required=True,
        help='model of open_clip, ViT-B-32 for example, or the JSON file of its configuration',
    )
    parser.add_argument('--weights', type=Path, required=True, help='local file of its weights')
    parser.add_argument(
        '--templates', type=Path, help='text file with one prompt per line, {} for the name'
    )
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--force', action='store_true', help='overwrite the target')
    args = parser.parse_args()
    if args.target.suffix != '.safetensors':
        parser.error(f'target {args.target} must end with .safetensors')
    if not args.weights.is_file():
        parser.error(f'--weights {args.weights} is no local file; nothing is downloaded')
    if args.dim < 1:
        parser.error(f'--dim is {args.dim}; it must be positive')
    return args


def read_classes(path: Path) -> list[str]:
    """Return the names of the classes, in the order of the file.

    Raises:
        ValueError: The file has no names, or a name is repeated.
    """
    path = path / 'meta.json' if path.is_dir() else path
    names = read_json_names(path) if path.suffix == '.json' else read_lines(path)
    if not names or len(set(names)) < len(names):
        raise ValueError(f'{path}: every class must be named once, and the names are {names}')
    return names


def read_json_names(path: Path) -> list[str]:
    content = read_json(path)
    try:
        if 'classes' in content:
            return content['classes']
        return [category['name'] for category in content['categories']]
    except (KeyError, TypeError) as error:
        raise ValueError(f'{path} names no classes or categories; use a text file') from error


def read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except json.JSONDecodeError as error:
        raise ValueError(f'{path} is damaged or no JSON: {error}') from error


def read_templates(path: Path) -> list[str]:
    """Return the prompt templates in a file.

    Raises:
        ValueError: There are none, or one does not contain ``{}`` exactly once.
    """
    templates = read_lines(path)
    wrong = [template for template in templates if template.count('{}') != 1]
    if wrong or not templates:
        raise ValueError(f'{path}: every prompt needs {{}} once, for the name; not so: {wrong}')
    return templates


def read_lines(path: Path) -> list[str]:
    lines = path.read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip()]


def load_text_tower(
    model: str, weights: Path, device: torch.device
) -> tuple[nn.Module, Callable[[list[str]], Tensor]]:
    """Return a model of open_clip with its text weights, and its tokenizer.

    Raises:
        ImportError: open_clip is not installed.
        ValueError: The model does not exist or needs files from the network, or the weights do not
            fit it or are damaged.
    """
    try:
        import open_clip
    except ImportError as error:
        raise ImportError('text features need open_clip: pip install open_clip_torch') from error

    if model.endswith('.json'):
        read_json(Path(model))
        open_clip.add_model_config(model)
        model = Path(model).stem
    config = open_clip.get_model_config(model) if model in open_clip.list_models() else None
    if config is None:
        raise ValueError(f'open_clip has no model {model}; its list_models() names those it has')
    text = config['text_cfg']
    if any(name.startswith('hf_') for name in text):
        raise ValueError(
            f"--model {model} takes its tokenizer from the network; choose one with CLIP's own, "
            'such as ViT-B-32'
        )
    # Suppress the warning that the model is random: its weights are loaded next.
    logging.disable(logging.WARNING)
    tower = open_clip.create_model(model, load_weights=False)
    logging.disable(logging.NOTSET)
    load_text_weights(tower, weights)
    # The tokenizer's vocabulary is part of open_clip.
    tokenizer = open_clip.SimpleTokenizer(
        context_length=text.get('context_length', 77), **text.get('tokenizer_kwargs', {})
    )
    return tower.to(device).eval(), tokenizer


def load_text_weights(tower: nn.Module, path: Path) -> None:
    """Load all weights of the text tower, and no others, from a file.

    open_clip's own reader is not used because, with some versions of torch, a crafted file can make
    it execute code.

    Raises:
        ValueError: A weight is missing, unexpected or of another shape.
    """
    own = without_image(tower.state_dict())
    given = with_short_positions(without_image(load_weights(path)), own)
    wrong = {
        'missing': own.keys() - given.keys(),
        'unexpected': given.keys() - own.keys(),
        'of another shape': {
            name for name in own.keys() & given.keys() if own[name].shape != given[name].shape
        },
    }
    found = [
        f'{len(names)} {title}: {", ".join(sorted(names)[:SHOWN])}'
        for title, names in wrong.items()
        if names
    ]
    if found:
        raise ValueError(f'{path} does not fit the text tower of --model; {"; ".join(found)}')
    tower.load_state_dict(given, strict=False)


def with_short_positions(given: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with one embedding per position of the tower, if they are of Long-CLIP.

    Long-CLIP has 248 positions: the first 20 of one tensor, the others of a second one. The text
    tower is causal, so texts that fit into the tower's own positions have the same features.
    """
    if LONG not in given:
        return given
    rest = {name: given[name] for name in given.keys() - {LONG, 'mask1', 'mask2'}}
    first_LD = given['positional_embedding'][:KEPT]
    positions_LD = torch.cat([first_LD, given[LONG][KEPT:]])[: len(own['positional_embedding'])]
    return dict(rest, positional_embedding=positions_LD)


def without_image(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that are used to encode text."""
    return {name: value for name, value in weights.items() if not name.startswith(NO_TEXT)}


@torch.no_grad()
def encode_classes(
    tower: nn.Module,
    tokenize: Callable[[list[str]], Tensor],
    classes: list[str],
    templates: list[str],
    device: torch.device,
) -> Tensor:
    """Return the mean of the normalized features of each class's prompts, (C, F) float32."""
    features = []
    for name in classes:
        prompts = [template.replace('{}', name.replace('_', ' ')) for template in templates]
        tokens = tokenize(prompts).to(device)
        features.append(tower.encode_text(tokens, normalize=True).float().mean(0))
    return torch.stack(features).cpu()


def space_of(model: str, tower: nn.Module) -> str:
    """Return a name of the space of a tower's features: the model and a digest of its weights.

    The file format of the weights, their image tower and the prompts do not matter.
    """
    sha256 = hashlib.sha256()
    for name, value in sorted(without_image(tower.state_dict()).items()):
        sha256.update(name.encode())
        sha256.update(value.float().cpu().numpy().tobytes())
    return f'{Path(model).name.removesuffix(".json")} {sha256.hexdigest()}'


def cosines(features: Tensor) -> Tensor:
    """Return the cosines (C, C) between features (C, F), float64."""
    unit = normalize(features.double(), dim=1)
    return unit @ unit.T


def report(embeddings_CE: Tensor, classes: list[str]) -> None:
    """Print the two nearest classes."""
    if len(classes) > 1:
        nearest, at = cosines(embeddings_CE).fill_diagonal_(-2).flatten().max(0)
        first, second = divmod(at.item(), len(classes))
        print(f'nearest classes: {classes[first]} and {classes[second]}, cosine {nearest:.4f}')


def main() -> None:
    args = parse_args()
    refuse_to_overwrite([args.target], [args.weights], args.force)
    classes = read_classes(args.classes)
    templates = read_templates(args.templates) if args.templates else list(TEMPLATES)
    device = choose_device(args.device)
    tower, tokenize = load_text_tower(args.model, args.weights, device)
    features_CF = encode_classes(tower, tokenize, classes, templates, device)
    embeddings_CE, space = features_CF, ''
    if args.no_projection:
        space = space_of(args.model, tower)
    else:
        embeddings_CE = project_keeping_cosines(features_CF, args.dim)
    args.target.parent.mkdir(parents=True, exist_ok=True)
    save_meta_embeddings(args.target, embeddings_CE, classes, space)
    width = embeddings_CE.shape[1]
    print(f'wrote {len(classes)} meta-embeddings of width {width} to {args.target}')
    if not args.no_projection:
        change = (cosines(embeddings_CE) - cosines(features_CF)).abs().max()
        print(f'largest change of a cosine by the projection: {change:.1e}')
    report(embeddings_CE, classes)


if __name__ == '__main__':
    try:
        main()
    except (ImportError, OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
