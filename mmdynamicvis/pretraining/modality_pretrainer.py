"""Pretraining on several modalities of the same places, without annotations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmdynamicvis.band_names import spelling
from mmdynamicvis.models.modalities import ModalityImages, MultiModalBatch
from mmdynamicvis.models.modality_neck import mean_over_dates
from mmdynamicvis.models.resampling import resample
from mmdynamicvis.pretraining.gather import gather_rows
from mmdynamicvis.pretraining.modality_losses import (
    cell_info_nce,
    hidden_patch_loss,
    random_projection_targets,
)
from mmdynamicvis.registry import MODELS

HIDDEN_AREA = 0.9
"""A cell counts as hidden if this share of its area is; it may share pixels with its neighbors."""


@MODELS.register_module()
class ModalityPretrainer(BaseModel):
    """Trains a backbone and a neck for several modalities with two losses, on the last level.

    Square patches of each modality are hidden, independently of the other modalities, and the same
    in all dates of a sample: their normalized pixels are set to 0, the mean. The backbone and the
    neck then encode what is left.

    - ``loss_hidden``: from the neck's fused map, a small head per modality predicts frozen random
      projections of the hidden pixels of each cell
      (:func:`~mmdynamicvis.pretraining.modality_losses.hidden_patch_loss`). Other modalities of the
      sample and the surroundings tell what is hidden.
    - ``loss_contrast``: for each pair of modalities, the aligned maps before fusion are contrasted
      in the cells that neither hides
      (:func:`~mmdynamicvis.pretraining.modality_losses.cell_info_nce`).

    The losses are means over modalities or pairs, each of which has equal weight, over the cells of
    all processes. ``python tools/convert_checkpoint.py CHECKPOINT FILE.safetensors --parts backbone
    neck`` writes the parts for other tasks.

    Args:
        backbone: Config of a ``MultiModalDynamicVis``, with its ``modalities``.
        neck: Config of a :class:`~mmdynamicvis.models.ModalityNeck`; only its last level is used,
            so the backbone needs to return no other.
        hidden_weight: Weight of ``loss_hidden``; 0 hides nothing.
        contrast_weight: Weight of ``loss_contrast``.
        hidden_ratio: Probability that a patch is hidden.
        hidden_size: Edge of a patch, in cells of the last level of the neck.
        cells_per_sample: Number of random cells of each sample in the losses; their memory grows
            with its square.
        embed_dims: Channels of the embeddings that are contrasted.
        target_dims: Channels of the random projections.
        temperature: Temperature of both losses.
        data_preprocessor: Config of one that returns ``inputs`` as a :class:`MultiModalBatch`.
        init_cfg: Initialization of mmengine.

    Raises:
        ValueError: An argument is out of range, or backbone and neck have other modalities.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        hidden_weight: float = 1.0,
        contrast_weight: float = 1.0,
        hidden_ratio: float = 0.5,
        hidden_size: int = 4,
        cells_per_sample: int = 256,
        embed_dims: int = 128,
        target_dims: int = 128,
        temperature: float = 0.1,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if min(hidden_weight, contrast_weight) < 0 or not hidden_weight + contrast_weight:
            raise ValueError(
                f'hidden_weight is {hidden_weight} and contrast_weight {contrast_weight}; they '
                'must not be negative, nor both 0'
            )
        if not 0 < hidden_ratio < 1:
            raise ValueError(f'hidden_ratio is {hidden_ratio}; it must lie between 0 and 1')
        if min(hidden_size, cells_per_sample) < 1 or temperature <= 0:
            raise ValueError(
                f'hidden_size is {hidden_size}, cells_per_sample {cells_per_sample} and '
                f'temperature {temperature}; all must be positive'
            )
        self.sensors = backbone.get('modalities') or {}
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.names = self.neck.modalities
        if {*self.sensors} != {*self.names}:
            raise ValueError(
                f'the backbone has the modalities {", ".join(self.sensors) or "(none)"} and the '
                f'neck {", ".join(self.names)}: give both the same'
            )
        if contrast_weight and len(self.names) == 1:
            raise ValueError(
                f'{self.names[0]} is the only modality, and the contrast needs pairs: set '
                'contrast_weight to 0'
            )
        self.hidden_weight = hidden_weight
        self.contrast_weight = contrast_weight
        self.hidden_ratio = hidden_ratio
        self.hidden_size = hidden_size
        self.cells_per_sample = cells_per_sample
        self.temperature = temperature
        self.cell = self.neck.cells[-1]
        self.pixels_per_cell = {
            name: max(round(self.cell / sensor['gsd']), 1) for name, sensor in self.sensors.items()
        }
        if contrast_weight:
            self.projectors = self._heads(self.neck.in_channels[-1], embed_dims)
        if hidden_weight:
            self.predictors = self._heads(self.neck.out_channels[-1], target_dims)
            for name in self.names:
                n_values = len(self.sensors[name]['bands']) * self.pixels_per_cell[name] ** 2
                matrix_PD = torch.randn(n_values, target_dims) / n_values**0.5
                # saved with the weights, so that a resumed training has the same targets
                self.register_buffer(f'projection_{name}', matrix_PD)

    def _heads(self, in_channels: int, out_channels: int) -> nn.ModuleDict:
        return nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Linear(in_channels, in_channels),
                    nn.GELU(),
                    nn.Linear(in_channels, out_channels),
                )
                for name in self.names
            }
        )

    def forward(
        self,
        inputs: MultiModalBatch,
        data_samples: Sequence[BaseDataElement] | None = None,
        mode: str = 'tensor',
    ) -> tuple[Tensor, ...] | dict[str, Tensor]:
        """Run the model.

        Args:
            inputs: Normalized images of several modalities.
            data_samples: Unused.
            mode: 'loss' or 'tensor'.

        Returns:
            The losses, scalars; or the maps of the neck.

        Raises:
            ValueError: The mode or a band is unknown, or a sample has no modality.
        """
        if mode == 'loss':
            return self._loss(inputs)
        if mode == 'tensor':
            return self.neck(self.backbone(inputs))
        raise ValueError(f"mode is {mode!r}; choose 'loss' or 'tensor'")

    def _loss(self, batch: MultiModalBatch) -> dict[str, Tensor]:
        hidden = {name: self.draw_hidden(batch, name) for name in batch.images}
        images = {
            name: images._replace(
                pixels=images.pixels.masked_fill(hidden[name][images.samples, None], 0)
            )
            for name, images in batch.images.items()
        }
        features = self.backbone(batch._replace(images=images))
        present_BM = self.neck.present(features)
        aligned = self.neck.align(features, -1)
        grid = next(iter(aligned.values())).shape[1:3]
        cells_BN = self._draw_cells(batch.size, grid, present_BM.device)
        hidden_BNM = torch.zeros(*cells_BN.shape, len(self.names), device=cells_BN.device).bool()
        for name in aligned:
            area_BHW1 = resample(
                hidden[name][..., None].float(), batch.images[name].gsd, grid, self.cell
            )
            hidden_BNM[..., self.names.index(name)] = (
                area_BHW1.flatten(1).gather(1, cells_BN) >= HIDDEN_AREA
            )

        losses = {}
        # Modules of modalities that only other processes have get zero gradients here, because
        # DistributedDataParallel waits for every gradient.
        zero = 0 * sum(p.sum() for p in self.parameters() if p.requires_grad)
        if self.contrast_weight:
            loss = self._contrast(aligned, cells_BN, present_BM[:, None] & ~hidden_BNM)
            losses['loss_contrast'] = self.contrast_weight * loss + zero
        if self.hidden_weight:
            fused_BCHW = self.neck.fuse(aligned, self.neck.drop_modalities(present_BM), -1)
            fused_BNC = _take(fused_BCHW.permute(0, 2, 3, 1), cells_BN)
            hidden_BNM = present_BM[:, None] & hidden_BNM
            loss = self._predict_hidden(fused_BNC, batch, grid, cells_BN, hidden_BNM, zero)
            losses['loss_hidden'] = self.hidden_weight * loss + zero
        return losses

    def draw_hidden(self, batch: MultiModalBatch, name: str) -> Tensor:
        """Return the pixels of a modality to hide, (B, H, W) bool, the same in all dates."""
        images = batch.images[name]
        pixels, device = images.pixels, images.pixels.device
        edge = self.hidden_size * self.cell
        rows_H, columns_W = (
            ((torch.arange(size, device=device) + 0.5) * images.gsd / edge).long()
            for size in pixels.shape[2:]
        )
        if not self.hidden_weight:
            return torch.zeros(batch.size, *pixels.shape[2:], dtype=torch.bool, device=device)
        n_rows, n_columns = int(rows_H[-1]) + 1, int(columns_W[-1]) + 1
        patches = torch.rand(batch.size, n_rows, n_columns, device=device) < self.hidden_ratio
        return patches[:, rows_H][:, :, columns_W]

    def _draw_cells(self, size: int, grid: tuple[int, int], device: torch.device) -> Tensor:
        """Return indices (B, N) of random cells of each sample, without repetition."""
        n_cells = grid[0] * grid[1]
        draw = torch.rand(size, n_cells, device=device)
        return draw.argsort(1)[:, : self.cells_per_sample]

    def _contrast(
        self, aligned: dict[str, Tensor], cells_BN: Tensor, visible_BNM: Tensor
    ) -> Tensor:
        """Return the mean of the contrastive loss over pairs of modalities."""
        known = {
            name: self.projectors[name](_take(maps_BHWC, cells_BN)).flatten(0, 1)
            for name, maps_BHWC in aligned.items()
        }
        empty = torch.zeros_like(next(iter(known.values())))
        embeddings_RME = torch.stack([known.get(name, empty) for name in self.names], 1)
        # One exchange for all modalities, because every process must take part in each.
        embeddings_RME, visible_RM = gather_rows(embeddings_RME, visible_BNM.flatten(0, 1).byte())
        losses = []
        for i, j in combinations(range(len(self.names)), 2):
            rows_R = (visible_RM[:, i] * visible_RM[:, j]).bool()
            if rows_R.any():
                a_RE, b_RE = embeddings_RME[rows_R, i], embeddings_RME[rows_R, j]
                losses.append(cell_info_nce(a_RE, b_RE, self.temperature))
        return torch.stack(losses).mean() if losses else embeddings_RME.sum() * 0

    def _predict_hidden(
        self,
        fused_BNC: Tensor,
        batch: MultiModalBatch,
        grid: tuple[int, int],
        cells_BN: Tensor,
        hidden_BNM: Tensor,
        zero: Tensor,
    ) -> Tensor:
        """Return the mean over modalities of the loss of hidden cells."""
        sums, counts = [], []
        for m, name in enumerate(self.names):
            if name not in batch.images:
                sums.append(zero)
                counts.append(hidden_BNM.new_zeros((), dtype=torch.long))
                continue
            targets_BND = _take(self._targets(name, batch, grid), cells_BN)
            # cells without content, such as nodata, which preprocessing sets to 0, have no target
            hidden_BN = hidden_BNM[..., m] & targets_BND.any(-1)
            predicted_BND = self.predictors[name](fused_BNC)
            loss = hidden_patch_loss(predicted_BND, targets_BND, hidden_BN, self.temperature)
            counts.append(hidden_BN.sum())
            sums.append(loss * counts[-1])
        sums_RM, counts_RM = gather_rows(torch.stack(sums)[None], torch.stack(counts)[None])
        counts_M = counts_RM.sum(0)
        losses_M = sums_RM.sum(0) / counts_M.clamp(min=1)
        return losses_M.sum() / (counts_M > 0).sum().clamp(min=1)

    @torch.no_grad()
    def _targets(self, name: str, batch: MultiModalBatch, grid: tuple[int, int]) -> Tensor:
        """Return the random projections of the pixels of all cells, (B, H, W, D)."""
        images, k = batch.images[name], self.pixels_per_cell[name]
        pixels_NHWC = self._all_bands(name, images).permute(0, 2, 3, 1)
        pixels_BHWC = mean_over_dates(pixels_NHWC, images.samples, batch.size)
        fine = (grid[0] * k, grid[1] * k)
        pixels_BHWC = resample(pixels_BHWC, images.gsd, fine, self.cell / k)
        projection_PD = getattr(self, f'projection_{name}')
        targets_BND = random_projection_targets(
            pixels_BHWC.permute(0, 3, 1, 2), projection_PD, grid
        )
        return targets_BND.unflatten(1, grid)

    def _all_bands(self, name: str, images: ModalityImages) -> Tensor:
        """Return the pixels (N, C, H, W) of all bands of the modality; 0, the mean, if missing."""
        own = [spelling(band) for band in self.sensors[name]['bands']]
        given = own if images.bands is None else [spelling(band) for band in images.bands]
        if len(given) != images.pixels.shape[1] or not {*given} <= {*own}:
            raise ValueError(
                f'{name} has {images.pixels.shape[1]} channels with the bands '
                f'{", ".join(images.bands or self.sensors[name]["bands"])}; its bands are '
                f'{", ".join(self.sensors[name]["bands"])}'
            )
        if given == own:
            return images.pixels
        N, _, H, W = images.pixels.shape
        index = torch.tensor([own.index(band) for band in given], device=images.pixels.device)
        return images.pixels.new_zeros(N, len(own), H, W).index_copy(1, index, images.pixels)


def _take(maps_BHWC: Tensor, cells_BN: Tensor) -> Tensor:
    """Return the cells (B, N, C) of maps (B, H, W, C), by their indices in row-major order."""
    rows_BHWC = maps_BHWC.flatten(1, 2)
    return rows_BHWC.gather(1, cells_BN[..., None].expand(-1, -1, rows_BHWC.shape[2]))
