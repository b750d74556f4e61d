"""The published design of the backbone, with the arguments of the published implementation."""

from __future__ import annotations

from typing import Any

from mmdynamicvis.models import DynamicVis
from mmdynamicvis.models.published_arguments import translate


class DynamicVisBackbone(DynamicVis):
    """The published design of :class:`DynamicVis` with the published argument names.

    Args:
        *args: See :func:`~mmdynamicvis.models.published_arguments.translate`.
        **kwargs: See the same function.

    Raises:
        ValueError: A value is unknown; the message names it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(**translate(*args, **kwargs))

    @property
    def c_embed_dims(self) -> tuple[int, ...]:
        """Channels of the stages, by their published name."""
        return self.embed_dims
