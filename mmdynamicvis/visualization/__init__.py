"""Pictures of selected tokens, of maps of classes and of search results."""

from mmdynamicvis.visualization.class_maps import show_class_maps
from mmdynamicvis.visualization.pictures import as_picture, write_animation, write_picture
from mmdynamicvis.visualization.search_results import show_search_results
from mmdynamicvis.visualization.selected_tokens import (
    draw_selected_tokens,
    draw_stages,
    show_selected_tokens,
    write_arrays,
)

__all__ = [
    'as_picture',
    'draw_selected_tokens',
    'draw_stages',
    'show_class_maps',
    'show_search_results',
    'show_selected_tokens',
    'write_animation',
    'write_arrays',
    'write_picture',
]
