"""What is read of configs whose types are classes."""

from __future__ import annotations

import pytest
from mmdet.models import FasterRCNN
from mmengine.config import Config
from mmengine.model import BaseModel
from mmseg.models import EncoderDecoder

from mmdynamicvis.change_detection import SiameseEncoderDecoder
from mmdynamicvis.engine.config import scope_of


class Own(EncoderDecoder):
    """A model of a user."""


class OfNoHost(BaseModel):
    """A model of a user."""


@pytest.mark.parametrize(
    ('kind', 'scope'),
    [
        (EncoderDecoder, 'mmseg'),
        (FasterRCNN, 'mmdet'),
        (SiameseEncoderDecoder, 'mmseg'),
        (Own, 'mmseg'),
        (OfNoHost, OfNoHost.__module__.partition('.')[0]),
    ],
)
def test_the_host_of_a_class(kind: type, scope: str) -> None:
    assert scope_of(Config(dict(model=dict(type=kind)))) == scope
    assert scope_of(Config(dict(model=dict(type=kind), default_scope='opencd'))) == 'opencd'
