"""Base of metrics that count regions with torchmetrics, over all processes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from mmengine.device import get_device
from mmengine.evaluator import BaseMetric
from torch import Tensor

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


class CountedRegions(BaseMetric):
    """A metric whose counters are of torchmetrics.

    Every region counts exactly once, however unevenly regions are distributed among processes.

    Args:
        prefix: Prefix of the names of metrics.

    Raises:
        ImportError: torchmetrics is not installed.
        ValueError: The dataset's ``metainfo`` has no classes.
    """

    def __init__(self, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        self._counters: MetricCollection | None = None

    def evaluate(self, size: int) -> dict[str, float]:
        """Return the metrics over all processes, and reset the counters."""
        # mmengine's gathering of results would truncate them to the size of the dataset
        values = self._counts().compute()
        self._counts().reset()
        return {f'{self.prefix}/{name}': v for name, v in self.compute_metrics(values).items()}

    @abstractmethod
    def compute_metrics(self, results: dict[str, Tensor]) -> dict[str, float]:
        """Return the metrics, given what the counters return."""

    @abstractmethod
    def _build_counters(self, torchmetrics: ModuleType, n_classes: int) -> MetricCollection:
        """Return new counters."""

    def _counts(self) -> MetricCollection:
        """Return the counters, created on first use because the classes are known only then."""
        if self._counters is None:
            n_classes = len(self._classes())
            try:
                torchmetrics = import_module('torchmetrics')
            except ImportError as error:
                raise ImportError(
                    f'{type(self).__name__} needs torchmetrics: pip install torchmetrics'
                ) from error
            self._counters = self._build_counters(torchmetrics, n_classes).to(get_device())
        return self._counters

    def _classes(self) -> Sequence[str]:
        classes = (self.dataset_meta or {}).get('classes')
        if not classes:
            raise ValueError(
                f'{type(self).__name__} needs the class names: give the dataset metainfo.classes'
            )
        return classes
