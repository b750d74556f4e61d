"""The web page and its server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmdynamicvis.page.models import PageModel
from mmdynamicvis.page.nearest import NearestImages
from mmdynamicvis.page.uploads import read_upload
from mmdynamicvis.visualization import write_picture
from mmdynamicvis.visualization.pictures import Picture

try:
    import gradio as gr
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from mmdynamicvis.page.own_host import OwnHostOnly
except ImportError as error:
    raise ImportError("the page needs gradio: pip install 'mmdynamicvis[page]'") from error

_SYSTEM_FONTS = dict(font=['system-ui', 'sans-serif'], font_mono=['ui-monospace', 'monospace'])
_PICTURE = dict(show_label=False, buttons=[], format='png')
_EVERYWHERE = ('0.0.0.0', '::')
_SECONDS = 3600
"""Lifetime of the pictures of an inactive visitor."""


@contextmanager
def serve_page(
    models: Sequence[PageModel],
    samples: Sequence[Path] = (),
    nearest: NearestImages | None = None,
    *,
    host: str = '127.0.0.1',
    port: int = 7860,
    max_upload_mb: int = 20,
) -> Iterator[gr.Blocks]:
    """Serve the page inside a ``with`` block; its files are in a folder that is removed at the end.

    Args:
        models: Models to choose from.
        samples: Image files to choose from.
        nearest: Search for similar images; None disables it.
        host: Address to listen on.
        port: Port to listen on.
        max_upload_mb: Largest size of an uploaded file in megabytes.

    Raises:
        OSError: The port is in use.
        ValueError: There are no models, or two with the same name; or a sample is not an image.
    """
    by_name = {model.name: model for model in models}
    if not models or len(by_name) < len(models):
        raise ValueError(f'{[model.name for model in models]}: give one or more different models')
    with _folder() as folder:
        page = _build(folder, by_name, _copy(samples, folder / 'samples'), nearest)
        try:
            page.launch(
                server_name=host,
                server_port=port,
                max_file_size=f'{max_upload_mb}mb',
                prevent_thread_lock=True,
                state_session_capacity=20,
                theme=gr.themes.Default(**_SYSTEM_FONTS),
                footer_links=[],
                quiet=True,
                app_kwargs=dict(middleware=_middleware(host)),
                **dict.fromkeys(('share', 'mcp_server', 'ssr_mode', 'run_history', 'pwa'), False),
            )
        except OSError as error:
            raise OSError(f'cannot listen on port {port} of {host}: choose another') from error
        try:
            yield page
        finally:
            page.close(verbose=False)


def _middleware(host: str) -> list[Middleware]:
    # against DNS rebinding: another site's host name may resolve to this machine
    names = ['*'] if host in _EVERYWHERE else [host, 'localhost']
    return [Middleware(TrustedHostMiddleware, allowed_hosts=names), Middleware(OwnHostOnly)]


@contextmanager
def _folder() -> Iterator[Path]:
    """Create a temporary folder, the only one that gradio writes to and serves from."""
    with TemporaryDirectory(prefix='mmdynamicvis-page-') as folder:
        names = 'GRADIO_TEMP_DIR', 'GRADIO_EXAMPLES_CACHE'
        before = {name: os.environ.pop(name) for name in names if name in os.environ}
        os.environ.update(dict.fromkeys(names, folder))
        try:
            yield Path(folder).resolve()
        finally:
            for name in names:
                del os.environ[name]
            os.environ.update(before)


def _copy(samples: Sequence[Path], folder: Path) -> list[str]:
    """Write samples as PNG files into a folder from which gradio may serve."""
    copies = []
    for path in samples:
        copies.append(str(folder / f'{path.stem}_{len(copies)}.png'))
        write_picture(read_upload(path), copies[-1])
    return copies


def _build(
    folder: Path, models: dict[str, PageModel], samples: list[str], nearest: NearestImages | None
) -> gr.Blocks:
    names = list(models)

    def read(image: dict[str, Any]) -> Picture:
        path = Path(image['path']).resolve()
        if not path.is_relative_to(folder):  # gradio does not check all paths
            raise ValueError(f'{path} is no upload')
        return read_upload(path)

    def look(
        image: dict[str, Any] | None, later: dict[str, Any] | None, name: str, position: int
    ) -> list[Any]:
        """Return predictions, table, all stages, slider, the current stage, similar images."""
        given = [image, later][: models[name].dates]
        if None in given:
            return [None, None, [], gr.Slider(visible=False), None, None]
        try:
            pictures = [read(one) for one in given]
            view = models[name](*pictures)
            similar = nearest(pictures[0]) if nearest else None
        except (OSError, RuntimeError, ValueError) as error:
            raise gr.Error(str(error), print_exception=False) from error
        last = len(view.stages) - 1
        position = min(int(position), last)
        slider = gr.Slider(maximum=last, value=position, visible=last > 0)
        table = dict(headers=view.table.headers, data=view.table.rows)
        return [view.predictions, table, view.stages, slider, view.stages[position], similar]

    def need(name: str) -> gr.Image:
        return gr.Image(visible=models[name].dates == 2)

    def turn(stages: list[Picture], position: int) -> Picture | None:
        return stages[position] if stages else None

    with gr.Blocks(title='DynamicVis', analytics_enabled=False) as page:
        stages = gr.State([], time_to_live=_SECONDS)
        gr.Markdown('# DynamicVis')
        model = gr.Radio(names, value=names[0], label='Model')
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                gr.Markdown('### Image')
                image = gr.Image(**_PICTURE, sources=['upload', 'clipboard'], height=300)
                later = gr.Image(
                    **dict(_PICTURE, show_label=True),
                    label='Later date',
                    sources=['upload', 'clipboard'],
                    height=300,
                    visible=models[names[0]].dates == 2,
                )
                if samples:
                    gr.Examples(
                        samples,
                        image,
                        label='Samples',
                        examples_per_page=len(samples),
                        elem_id='samples',
                    )
            with gr.Column(scale=1, min_width=260):
                gr.Markdown('### Predictions')
                predictions = gr.Image(**_PICTURE, interactive=False, alt_text='predictions')
                table = gr.Dataframe(
                    headers=['class', 'score'], show_label=False, buttons=[], interactive=False
                )
            with gr.Column(scale=1, min_width=260):
                gr.Markdown('### Selected tokens')
                tokens = gr.Image(**_PICTURE, interactive=False, alt_text='selected tokens')
                slider = gr.Slider(0, 1, 1, step=1, label='Stage', buttons=[], visible=False)
        with gr.Column(visible=nearest is not None):
            gr.Markdown('### Nearest images')
            similar = gr.Gallery(show_label=False, buttons=[], columns=8, height=170, format='png')
        # gradio's own decoding of the file is not needed, and fails without a clear message
        gr.on(
            [image.change, later.change, model.change],
            look,
            [image, later, model, slider],
            [predictions, table, stages, slider, tokens, similar],
            preprocess=False,
            show_progress='minimal',
            api_visibility='private',
        )
        model.change(need, model, later, show_progress='hidden', api_visibility='private')
        slider.change(
            turn,
            [stages, slider],
            tokens,
            show_progress='hidden',
            trigger_mode='always_last',
            api_visibility='private',
        )
    return page
