"""Test a checkpoint: ``mim test mmdynamicvis CONFIG --checkpoint FILE`` or ``tools/test.py``.

The options are those of mmpretrain's own tool; configs of any OpenMMLab project can be used.
"""

from __future__ import annotations

import argparse
import os
from copy import deepcopy
from pathlib import Path

import mmengine
from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmengine.evaluator import DumpResults
from mmengine.runner import Runner

from mmdynamicvis.engine.config import leaf_datasets, scope_of, type_name
from mmdynamicvis.engine.launch import (
    add_common_arguments,
    build_runner,
    checkpoint_errors_explained,
    load_config,
    set_loader_defaults,
)
from mmdynamicvis.fileio import refuse_to_overwrite, replacing
from mmdynamicvis.inference.trained_model import CompleteWeightsHook

# Arguments of the hosts' drawing hooks that enable drawing and set the output folder;
# None: the folder is the visualizer's save_dir.
_DRAWING_HOOKS = {
    'VisualizationHook': ('enable', 'out_dir'),
    'DetVisualizationHook': ('draw', 'test_out_dir'),
    'SegVisualizationHook': ('draw', None),
    'BandsVisualizationHook': ('draw', None),
    'CDVisualizationHook': ('draw', None),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Test (and evaluate) a model')
    add_common_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file or URL')
    parser.add_argument(
        '--out',
        type=os.path.expanduser,
        help='file for the predictions (.pkl) or the metrics (.json)',
    )
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        help='content of --out (default: pred)',
    )
    parser.add_argument(
        '--force', action='store_true', help='overwrite --out, and pictures in --show-dir'
    )
    parser.add_argument('--show-dir', help='folder for pictures of the predictions')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--interval', type=int, default=1, help='draw every n-th sample')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds per shown window')
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation with tta_model and tta_pipeline of the config',
    )
    args = parser.parse_args()
    if args.out is None and args.out_item is not None:
        parser.error(f'--out-item {args.out_item} needs --out FILE')
    if args.out and args.out_item != 'metrics' and not args.out.endswith(('.pkl', '.pickle')):
        parser.error(f'predictions are written as .pkl, got --out {args.out}')
    if args.out:
        refuse_to_overwrite([args.out], [args.config, args.checkpoint], args.force)
    return args


def merge_test_args(cfg: Config, args: argparse.Namespace) -> None:
    """Merge the options specific to testing into ``cfg``, in place."""
    cfg.load_from = args.checkpoint
    if args.amp:
        cfg.test_cfg.fp16 = True
    if args.show or args.show_dir is not None:
        _draw_predictions(cfg, args)
    if args.tta:
        _augment_test_time(cfg)
    set_loader_defaults(cfg, args)


def _draw_predictions(cfg: Config, args: argparse.Namespace) -> None:
    hook = cfg.get('default_hooks', {}).get('visualization')
    kind = '' if hook is None else type_name(hook)
    if kind not in _DRAWING_HOOKS:
        raise ValueError(
            f'--show and --show-dir need default_hooks.visualization of type '
            f'{", ".join(_DRAWING_HOOKS)}, and {args.config} has {kind or "none"}'
        )
    if args.tta and kind == 'VisualizationHook':
        raise ValueError('mmpretrain cannot draw augmented images: give --show-dir without --tta')
    switch, folder = _DRAWING_HOOKS[kind]
    hook.update({switch: True, 'interval': args.interval})
    hook.update(show=args.show, wait_time=args.wait_time)
    if args.show_dir is not None and folder is not None:
        hook[folder] = args.show_dir
    elif args.show_dir is not None:
        cfg.visualizer.save_dir = args.show_dir


def refuse_to_draw_over(runner: Runner, force: bool) -> None:
    """Raise an error if pictures would replace tested images or, without ``force``, any file.

    mmseg and open-cd write into a folder ``vis_data`` of their own.
    """
    hook = runner.cfg.get('default_hooks', {}).get('visualization')
    kind = '' if hook is None else type_name(hook)
    switch, folder = _DRAWING_HOOKS.get(kind, (None, None))
    dataset = runner.test_loop.dataloader.dataset
    if folder is None or not hook.get(switch) or not hook.get(folder):
        return
    if not hasattr(dataset, 'get_data_info'):
        return
    # mmdet puts relative folders into that of the run; mmpretrain names pictures NAME_STEP.png
    in_run, suffix = (True, '') if kind == 'DetVisualizationHook' else (False, '_0.png')
    place = Path(runner.work_dir, runner.timestamp, hook[folder]) if in_run else Path(hook[folder])
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    images = [info['img_path'] for info in infos if isinstance(info.get('img_path'), str)]
    pictures = [place / f'{Path(image).name}{suffix}' for image in images]
    refuse_to_overwrite(pictures, images, force)


def _augment_test_time(cfg: Config) -> None:
    flips = not cfg.get('tta_pipeline')
    if not cfg.get('tta_model') or flips:
        if scope_of(cfg) != 'mmpretrain':
            raise ValueError(f'--tta needs tta_model and tta_pipeline in {cfg.filename}')
        if cfg.model.get('head') is None:
            raise ValueError(
                f'--tta averages the scores of classes, and {type_name(cfg.model)} in '
                f'{cfg.filename} has no head that gives any: leave --tta out, or give tta_model '
                'and tta_pipeline'
            )
        cfg.setdefault('tta_model', ConfigDict(type='mmpretrain.AverageClsScoreTTA'))
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    for dataset in leaf_datasets(cfg.test_dataloader.dataset):
        dataset.pipeline = _flip_pipeline(dataset.pipeline) if flips else cfg.tta_pipeline


def _flip_pipeline(pipeline: list[dict]) -> list[dict]:
    """Return a classification test pipeline that adds a horizontally flipped view of each image."""
    *prepare, pack = deepcopy(pipeline)
    if type_name(pack) == 'PackModalities':
        raise ValueError('--tta flips one image, and samples have several modalities: leave it out')
    flips = [dict(type='RandomFlip', prob=prob) for prob in (1.0, 0.0)]
    return [*prepare, dict(type='TestTimeAug', transforms=[flips, [pack]])]


def _write_metrics(metrics: dict, path: str) -> None:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        mmengine.dump(metrics, str(temporary))


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    merge_test_args(cfg, args)
    runner = build_runner(cfg)
    runner.register_hook(CompleteWeightsHook(cfg))
    if is_main_process():  # which draws, and may have begun to when others look
        refuse_to_draw_over(runner, args.force)
    if args.out and args.out_item != 'metrics':
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    with checkpoint_errors_explained():
        metrics = runner.test()
    if args.out_item == 'metrics' and is_main_process():
        _write_metrics(metrics, args.out)


if __name__ == '__main__':
    main()
