"""Images of several modalities at several dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from mmdynamicvis.models.modalities import MultiModalBatch


def dates_as_samples(
    batch: MultiModalBatch, num_dates: int = 2, dates: Mapping[str, Sequence[int]] | None = None
) -> MultiModalBatch:
    """Return a batch in which each date is a sample of its own: all first dates, all second ones.

    So a backbone sees all dates at once, and a neck fuses the modalities of each date.

    Args:
        batch: B samples, whose images of a modality are its dates in chronological order.
        num_dates: Number of dates.
        dates: Modality -> the dates that its images show, counted from 0: ``dict(optical=[0],
            sar=[1])`` for an optical image before and a radar image after an event. A modality
            that is not named has an image of every date. Samples may lack a modality.

    Returns:
        A batch of B x num_dates samples; that of date d of sample b is d B + b.

    Raises:
        ValueError: ``dates`` names a date that is none, or a sample has another number of images
            of a modality than dates.
    """
    dates = dates or {}
    images = {}
    for name, of_name in batch.images.items():
        shown = tuple(dates.get(name, range(num_dates)))
        if not shown or list(shown) != sorted({*shown} & {*range(num_dates)}):
            raise ValueError(
                f'dates of {name} is {shown}; give some of 0 to {num_dates - 1} in ascending order'
            )
        samples = of_name.samples
        if not torch.compiler.is_compiling():
            counts = samples.bincount(minlength=batch.size)
            odd = ((counts != 0) & (counts != len(shown))).nonzero().flatten().tolist()
            if odd:
                raise ValueError(
                    f'sample {odd[0]} has {counts[odd[0]]} images of {name}, and there are '
                    f'{len(shown)} dates of it. Load one image per date'
                )
        # images are in the order of their samples, so those of the k-th date are every len-th
        order = torch.cat(
            [torch.arange(k, len(samples), len(shown)) for k in range(len(shown))]
        ).to(samples.device)
        offsets = torch.tensor(shown, device=samples.device).repeat_interleave(
            len(samples) // len(shown)
        )
        images[name] = of_name._replace(
            pixels=of_name.pixels[order], samples=samples[order] + offsets * batch.size
        )
    return MultiModalBatch(images, batch.size * num_dates)
