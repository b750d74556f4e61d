"""Evaluation of retrieval by mean average precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmdynamicvis.registry import METRICS
from mmdynamicvis.retrieval.codes import CODES
from mmdynamicvis.retrieval.vector_index import Distance, VectorIndex


@METRICS.register_module()
class RetrievalMetric(BaseMetric):
    """mAP@k and precision@k of queries against a database, for vectors and for their codes.

    Computed by torchmetrics following the protocol of the DynamicVis paper (table 12; arXiv
    2403.02059): the precision at each hit among the first k results is averaged over these hits; a
    query without a hit counts as 0. Ties are in the order of the database.

    Samples have ``feature``, (C,), ``gt_label`` (class indices) and ``role`` ('query' or
    'database'), as returned by ``PooledFeatures`` and ``QueriesAndDatabase``.

    Args:
        k: Number of results per query.
        codes: Any of 'float', 'binary' (signs) and 'hash64' (signs of 64 means).
        distance: Distance of float vectors, 'cosine' or 'euclidean'. Codes are compared by Hamming
            distance.
        match: 'any': one shared label makes a hit; 'exact': all labels must be equal.
        **kwargs: Further arguments of mmengine's ``BaseMetric``.

    Raises:
        ValueError: A code or ``match`` is unknown; at the end, there are no queries or no database.
    """

    default_prefix = 'retrieval'

    def __init__(
        self,
        k: int = 20,
        codes: Sequence[str] = tuple(CODES),
        distance: Distance = 'cosine',
        match: Literal['any', 'exact'] = 'any',
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if unknown := set(codes) - set(CODES):
            raise ValueError(f'codes has {sorted(unknown)}; choose from {sorted(CODES)}')
        if match not in ('any', 'exact'):
            raise ValueError(f"match is {match!r}; choose 'any' or 'exact'")
        self.k = k
        self.codes = codes
        self.distance = distance
        self.match = match

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Collect the vectors, labels and roles of a batch."""
        for sample in data_samples:
            labels = torch.as_tensor(sample['gt_label']).flatten().tolist()
            self.results.append((sample['feature'].cpu(), labels, sample['role']))

    def compute_metrics(self, results: list[tuple[Tensor, list[int], str]]) -> dict[str, float]:
        """Return ``mAP@k_<code>`` and ``P@k_<code>`` in percent."""
        n_classes = 1 + max((label for _, labels, _ in results for label in labels), default=0)
        parts = {}
        for role in ('query', 'database'):
            chosen = [(vector, labels) for vector, labels, own in results if own == role]
            if not chosen:
                raise ValueError(f'no sample has the role {role!r}: use QueriesAndDatabase')
            labels_NK = torch.zeros(len(chosen), n_classes, dtype=torch.bool)
            for i, (_, labels) in enumerate(chosen):
                labels_NK[i, labels] = True
            parts[role] = torch.stack([vector for vector, _ in chosen]), labels_NK
        (queries_QC, wanted_QK), (database_NC, labels_NK) = parts['query'], parts['database']
        metrics = {}
        for name in self.codes:
            encode = CODES[name]
            index = VectorIndex(self.distance if name == 'float' else 'hamming')
            index.add(encode(database_NC))
            _, places_Qk = index.search(encode(queries_QC), min(self.k, len(index)))
            hits_Qk = self._hits(wanted_QK, labels_NK[places_Qk])
            metrics.update({f'{key}_{name}': v for key, v in score(hits_Qk, self.k).items()})
        return metrics

    def _hits(self, wanted_QK: Tensor, labels_QkK: Tensor) -> Tensor:
        wanted_QK = wanted_QK[:, None]
        if self.match == 'any':
            return (labels_QkK & wanted_QK).any(-1)
        return (labels_QkK == wanted_QK).all(-1)


def score(hits_Qk: Tensor, k: int) -> dict[str, float]:
    """Return mAP@k and precision@k in percent.

    Args:
        hits_Qk: (Q, columns) bool, whether each result is a hit, nearest first.
        k: The k of mAP@k and precision@k, at least the number of columns.
    """
    from torchmetrics.retrieval import RetrievalMAP, RetrievalPrecision

    # results are already sorted; torchmetrics ignores scores of 0 or below
    ranks_Qk = torch.arange(hits_Qk.shape[1], 0, -1).expand(hits_Qk.shape).float()
    queries_Qk = torch.arange(len(hits_Qk))[:, None].expand(hits_Qk.shape)
    values = {}
    for name, metric in (('mAP', RetrievalMAP(top_k=k)), ('P', RetrievalPrecision(top_k=k))):
        metric.update(ranks_Qk, hits_Qk, queries_Qk)
        values[f'{name}@{k}'] = 100 * metric.compute().item()
    return values
