"""Features of Galileo nano (https://arxiv.org/abs/2502.09356), from a checkout of its code."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from mmdynamicvis.models.weights import load_weights

MODULE = 'single_file_galileo.py'
WEIGHTS = 'data/models/nano/encoder.pt'
SETTINGS = 'data/models/nano/config.json'
BACKBONE = '.backbone'
"""In some names of its weights, and in none of its parameters."""
PATCH_SIZE = 8
MONTH = 5
"""June, counted from 0, for images without a date."""
BANDS = ('B4', 'B3', 'B2')
VISIBLE = 'S2_RGB'


class GalileoNano(nn.Module):
    """The mean of the tokens of an image's three visible bands; all other inputs are masked.

    Args:
        folder: Checkout of https://github.com/nasaharvest/galileo with its nano weights.
        images: Training images, uint8 (3, H, W) in the order B, G, R. As Galileo's authors do for
            data of other units, a band is scaled so that its mean minus and plus two standard
            deviations become 0 and 1.

    Raises:
        FileNotFoundError: The folder lacks a file.
    """

    def __init__(self, folder: Path, images: list[Tensor]) -> None:
        super().__init__()
        for name in (MODULE, WEIGHTS, SETTINGS):
            if not (folder / name).is_file():
                raise FileNotFoundError(f'{folder} is no checkout of Galileo: it has no {name}')
        self.galileo = _load_module(folder / MODULE)
        settings = json.loads((folder / SETTINGS).read_text())['model']['encoder']
        self.encoder = self.galileo.Encoder(**settings)
        weights = load_weights(folder / WEIGHTS)
        self.encoder.load_state_dict({k.replace(BACKBONE, ''): v for k, v in weights.items()})
        self.encoder.eval()
        pixels = torch.cat([image.flatten(1) for image in images], 1).float()
        self.mean, self.std = pixels.mean(1)[:, None, None], pixels.std(1)[:, None, None]

    def forward(self, batch: dict) -> Tensor:
        """Return (B, 128) float32."""
        images = torch.stack(batch['inputs']).float()  # (B, 3, H, W)
        images = ((images - self.mean) / (4 * self.std) + 0.5).flip(1)
        (b, _, height, width), names = images.shape, self.galileo
        space_time = torch.zeros(b, height, width, 1, len(names.SPACE_TIME_BANDS))
        places = [names.SPACE_TIME_BANDS.index(band) for band in BANDS]
        space_time[..., places] = images.permute(0, 2, 3, 1)[:, :, :, None]
        masked = torch.ones(b, height, width, 1, len(names.SPACE_TIME_BANDS_GROUPS_IDX))
        masked[..., list(names.SPACE_TIME_BANDS_GROUPS_IDX).index(VISIBLE)] = 0
        inputs = (
            space_time,
            torch.zeros(b, height, width, len(names.SPACE_BANDS)),
            torch.zeros(b, 1, len(names.TIME_BANDS)),
            torch.zeros(b, len(names.STATIC_BANDS)),
            masked,
            torch.ones(b, height, width, len(names.SPACE_BAND_GROUPS_IDX)),
            torch.ones(b, 1, len(names.TIME_BAND_GROUPS_IDX)),
            torch.ones(b, len(names.STATIC_BAND_GROUPS_IDX)),
            torch.full((b, 1), MONTH),
        )
        *outputs, _ = self.encoder(*inputs, patch_size=PATCH_SIZE)
        return self.encoder.average_tokens(*outputs)


def _load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
