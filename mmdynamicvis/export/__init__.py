"""Export of models to torch.export and ONNX files."""

from mmdynamicvis.export.export import SMALLEST, TOLERANCE, export_model
from mmdynamicvis.export.image_models import backbone, classifier

__all__ = ['SMALLEST', 'TOLERANCE', 'backbone', 'classifier', 'export_model']
