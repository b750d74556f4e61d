"""Image retrieval: binary codes, search, evaluation by mAP@k. Datasets require mmpretrain."""

from mmdynamicvis.retrieval.approximate_index import ApproximateIndex
from mmdynamicvis.retrieval.codes import CODES, binarize, trivial_hash
from mmdynamicvis.retrieval.features import PooledFeatures
from mmdynamicvis.retrieval.metric import RetrievalMetric
from mmdynamicvis.retrieval.vector_index import VectorIndex

__all__ = [
    'CODES',
    'ApproximateIndex',
    'PooledFeatures',
    'RetrievalMetric',
    'VectorIndex',
    'binarize',
    'trivial_hash',
]
