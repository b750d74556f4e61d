"""Pictures of what the model looks at."""

from mmdynamicvis.visualization.selected_tokens import draw_selected_tokens, show_selected_tokens

__all__ = ['draw_selected_tokens', 'show_selected_tokens']
