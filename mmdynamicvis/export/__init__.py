"""Export of models to torch.export and ONNX files."""

from mmdynamicvis.export.deepness import Deepness
from mmdynamicvis.export.export import TOLERANCE, export_model
from mmdynamicvis.export.fcos import detector, select_boxes
from mmdynamicvis.export.image_models import SMALLEST, backbone, classifier
from mmdynamicvis.export.segmentation import segmentor

__all__ = [
    'SMALLEST',
    'TOLERANCE',
    'Deepness',
    'backbone',
    'classifier',
    'detector',
    'export_model',
    'segmentor',
    'select_boxes',
]
