"""Image retrieval: binary codes, exact search, evaluation by mAP@k. Datasets require mmpretrain."""

from mmdynamicvis.retrieval.codes import CODES, binarize, trivial_hash
from mmdynamicvis.retrieval.features import PooledFeatures
from mmdynamicvis.retrieval.metric import RetrievalMetric
from mmdynamicvis.retrieval.vector_index import VectorIndex

__all__ = [
    'CODES',
    'PooledFeatures',
    'RetrievalMetric',
    'VectorIndex',
    'binarize',
    'trivial_hash',
]
