"""Write configs/*/metafile.yml, which `mim` and `load_inferencer` read, and docs/model_zoo.md.

    python tools/dev/metafiles.py

Both are written from the table below, the page also from the model cards in mmdynamicvis/zoo.

The name of a config determines its data and its initial weights; the table adds the number of
parameters and results. Results that begin with "Paper" are the paper's and were not reproduced.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from mmdynamicvis import zoo

CHECKOUT = Path(__file__).resolve().parents[2]
PAPER = {
    'Title': 'DynamicVis: An Efficient and General Visual Foundation Model for Remote Sensing '
    'Image Understanding',
    'URL': 'https://arxiv.org/abs/2503.16426',
}
DATASETS = {
    'aid': 'AID',
    'aid150': 'AID150',
    'bright': 'BRIGHT',
    'bigearthnet': 'BigEarthNet, version 2 (reBEN)',
    'bigearthnet43': 'BigEarthNet-43',
    'cil-roads': 'CIL roads (20 images)',
    'dior-r': 'DIOR-R',
    'dota': 'DOTA-v1.0',
    'dsifn': 'DSIFN',
    'eurosat': 'EuroSAT',
    'm-eurosat': 'm-eurosat of GEO-Bench',
    'fmow': 'fMoW',
    'forestnet12': 'ForestNet-12',
    'hrsc2016': 'HRSC2016',
    'landsat-scd': 'Landsat-SCD',
    'levir-cd': 'LEVIR-CD',
    'levir-ship': 'LEVIR-Ship',
    'levir-sztaki': 'LEVIR-CD and SZTAKI AirChange (14 pairs)',
    'loveda': 'LoveDA',
    'mass-roads': 'Massachusetts roads',
    'naip': 'your own (4 bands)',
    'nwpu': 'NWPU VHR-10',
    'nwpu-ssdd': 'NWPU VHR-10 and SSDD',
    'nwpu-heldout': 'NWPU VHR-10, boxes of 5 of 10 categories',
    'nwpu-rotated': 'NWPU VHR-10, derived boxes',
    'oscd': 'OSCD',
    'oscd-13bands': 'OSCD, 13 bands',
    'oscd-resolutions': 'OSCD, 13 bands at 10, 20 and 60 m',
    'potsdam': 'ISPRS Potsdam',
    'second': 'SECOND',
    'sentinel2': 'your own (13 bands)',
    'ssdd': 'SSDD',
    'synthetic': 'synthetic scenes',
    'terramesh': 'your own (Sentinel-1, Sentinel-2, elevation)',
    'terramind-lulc': 'your own (Sentinel-1, Sentinel-2, elevation, land cover)',
    'ucmerced': 'UC Merced',
    'vaihingen': 'ISPRS Vaihingen',
    'whu-building': 'WHU buildings',
    'whu-cd': 'WHU-CD',
    'whu-levir': 'WHU buildings and LEVIR-CD',
    'xbd': 'xBD',
}
# folder -> task, collection (mim finds a README by its name), architecture
TASKS = {
    'classification': ('Image Classification', 'DynamicVis', []),
    'detection': ('Object Detection', 'DynamicVis detection', []),
    'instance_segmentation': ('Instance Segmentation', 'DynamicVis instance segmentation', []),
    'rotated_detection': ('Rotated Detection', 'DynamicVis rotated detection', []),
    'segmentation': ('Semantic Segmentation', 'DynamicVis UPerNet', ['FPN', 'UPerNet']),
    'change_detection': ('Change Detection', 'DynamicVis change detection', ['FPN', 'U-Net']),
    'pretraining': ('Region Classification', 'DynamicVis region pretraining', ['FPN', 'GRoIE']),
    'retrieval': ('Image Retrieval', 'DynamicVis retrieval', []),
}
# folder -> name -> number of parameters, results in percent
MODELS = {
    'classification': {
        'dynamicvis_base_1xb64-500e-scratch_aid-512px': (36_770_142, {'Paper F1': 93.81}),
        'dynamicvis_base_1xb64-500e_aid-512px': (36_770_142, {'Paper F1': 96.04}),
        'dynamicvis_base_1xb64-600e-scratch_ucmerced-512px': (36_763_221, {'Paper F1': 95.88}),
        'dynamicvis_base_1xb64-600e_ucmerced-512px': (36_763_221, {'Paper F1': 99.05}),
        'dynamicvis_large_1xb64-500e-scratch_aid-512px': (91_275_038, {'Paper F1': 93.79}),
        'dynamicvis_large_1xb64-500e_aid-512px': (91_275_038, {'Paper F1': 96.28}),
        'dynamicvis_large_1xb64-600e-scratch_ucmerced-512px': (91_265_813, {'Paper F1': 96.16}),
        'dynamicvis_large_1xb64-600e_ucmerced-512px': (91_265_813, {'Paper F1': 99.09}),
        'dynamicvis_tiny_1xb16-demo_synthetic-128px': (2_500_232, {}),
        'dynamicvis_tiny_1xb32-10e-nwpu_aid150-128px': (
            2_508_702,
            {
                'Ours, accuracy, mean of 3 seeds': 60.5,
                'Ours, published design, F1, mean of 3 seeds': 34.1,
            },
        ),
        'dynamicvis_tiny_1xb32-10e_aid150-128px': (
            2_508_702,
            {'Ours, accuracy, mean of 3 seeds': 58.6},
        ),
        'dynamicvis_tiny_1xb64-60e_eurosat-64px': (2_464_138, {'Ours, accuracy': 96.1}),
        'dynamicvis_tiny_1xb64-30e_m-eurosat-64px': (2_464_138, {}),
        'multimodal-dynamicvis-tiny_1xb64-10e_bigearthnet-120px': (2_922_259, {}),
        'resnet18_1xb32-10e_aid150-128px': (
            11_191_902,
            {'Ours, accuracy, mean of 3 seeds': 51.4},
        ),
        'resnet18_1xb64-10e_eurosat-64px': (11_181_642, {'Ours, accuracy': 92.6}),
        'vit-tiny_1xb32-10e_aid150-128px': (
            2_317_470,
            {'Ours, accuracy, mean of 3 seeds': 49.9},
        ),
    },
    'detection': {
        'dino_dynamicvis-base_1xb8-50e_levir-ship-1024px': (62_104_675, {}),
        'dino_dynamicvis-tiny_1xb4-12e_nwpu-256px': (3_050_474, {}),
        'faster-rcnn_dynamicvis-base_1xb8-600e_levir-ship-1024px': (60_590_693, {}),
        'faster-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-256px': (3_758_737, {}),
        'fcos_dynamicvis-base_1xb8-600e_levir-ship-1024px': (48_932_683, {'Paper AP50': 82.8}),
        'fcos_dynamicvis-large_1xb8-600e_levir-ship-1024px': (105_125_131, {'Paper AP50': 84.1}),
        'fcos_dynamicvis-tiny_1xb4-12e_nwpu-256px': (2_994_772, {}),
        'multi-source-fcos_dynamicvis-tiny_1xb4-12e_nwpu-ssdd-256px': (3_146_463, {}),
    },
    'instance_segmentation': {
        'mask-rcnn_dynamicvis-base_1xb8-800e-scratch_nwpu-1024px': (65_159_069, {}),
        'mask-rcnn_dynamicvis-base_1xb8-800e_nwpu-1024px': (
            65_159_069,
            {'Paper box AP': 68.5, 'Paper mask AP': 67.3},
        ),
        'mask-rcnn_dynamicvis-base_1xb8-800e_ssdd-1024px': (
            65_110_631,
            {'Paper box AP': 70.8, 'Paper mask AP': 70.8},
        ),
        'mask-rcnn_dynamicvis-large_1xb8-800e_nwpu-1024px': (
            121_351_517,
            {'Paper box AP': 69.1, 'Paper mask AP': 67.8},
        ),
        'mask-rcnn_dynamicvis-large_1xb8-800e_ssdd-1024px': (
            121_303_079,
            {'Paper box AP': 71.5, 'Paper mask AP': 71.0},
        ),
        'mask-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-256px': (
            3_849_691,
            {'Ours, 24 epochs, box AP': 26.3, 'Ours, 24 epochs, mask AP': 22.4},
        ),
        'mask-rcnn_resnet18_1xb4-12e_nwpu-256px': (
            12_397_723,
            {'Ours, box AP': 23.9, 'Ours, mask AP': 19.0},
        ),
    },
    'rotated_detection': {
        'oriented-rcnn_dynamicvis-base_1xb2-12e_dior-r-800px': (58_157_424, {}),
        'oriented-rcnn_dynamicvis-base_1xb2-12e_dota-1024px': (60_603_755, {}),
        'oriented-rcnn_dynamicvis-base_1xb2-72e_hrsc2016-800px': (58_137_949, {}),
        'oriented-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-rotated-256px': (
            3_749_157,
            {'Ours, 24 epochs, mAP': 36.6, 'Ours, published design, mAP': 14.7},
        ),
        'oriented-rcnn_resnet18_1xb4-12e_nwpu-rotated-256px': (12_297_189, {'Ours, mAP': 30.8}),
        'rotated-fcos_dynamicvis-base_1xb2-12e_dota-1024px': (48_976_735, {}),
        'rotated-fcos_dynamicvis-tiny_1xb4-12e_nwpu-rotated-256px': (2_997_978, {}),
        'rotated-retinanet_dynamicvis-base_1xb2-12e_dota-1024px': (49_053_052, {}),
        'rotated-retinanet_dynamicvis-tiny_1xb4-12e_nwpu-rotated-256px': (3_011_565, {}),
    },
    'segmentation': {
        'upernet-dice_dynamicvis-base_1xb8-200e-scratch_mass-roads-512px': (68_129_092, {}),
        'upernet_dynamicvis-base_1xb8-200e-scratch_naip-512px': (68_133_796, {}),
        'upernet_dynamicvis-base_1xb8-200e-scratch_sentinel2-256px': (66_996_484, {}),
        'upernet_dynamicvis-base_1xb8-200e_loveda-512px': (68_132_942, {}),
        'upernet_dynamicvis-base_1xb8-200e_mass-roads-1024px': (72_847_684, {'Paper IoU': 66.4}),
        'upernet_dynamicvis-base_1xb8-200e_mass-roads-512px': (68_129_092, {'Paper IoU': 65.66}),
        'upernet_dynamicvis-base_1xb8-200e_potsdam-512px': (68_132_172, {}),
        'upernet_dynamicvis-base_1xb8-200e_vaihingen-512px': (68_132_172, {}),
        'upernet_dynamicvis-base_1xb8-200e_whu-building-1024px': (72_847_684, {'Paper IoU': 91.23}),
        'upernet_dynamicvis-base_1xb8-200e_whu-building-512px': (68_129_092, {'Paper IoU': 90.98}),
        'upernet_dynamicvis-large_1xb8-200e_mass-roads-1024px': (129_040_132, {'Paper IoU': 67.06}),
        'upernet_dynamicvis-large_1xb8-200e_mass-roads-512px': (122_748_676, {'Paper IoU': 66.26}),
        'upernet_dynamicvis-large_1xb8-200e_whu-building-1024px': (
            129_040_132,
            {'Paper IoU': 91.54},
        ),
        'upernet_dynamicvis-large_1xb8-200e_whu-building-512px': (
            122_748_676,
            {'Paper IoU': 91.06},
        ),
        'upernet_dynamicvis-tiny_1xb4-300i_cil-roads-256px': (
            2_991_428,
            {'Ours, F1, mean of 3 seeds': 81.0},
        ),
        'upernet_dynamicvis-tiny_1xb8-200e-scratch_whu-building-512px': (3_581_252, {}),
        'upernet_multimodal-dynamicvis-tiny_1xb8-50e_terramind-lulc-224px': (2_789_618, {}),
        'upernet_resnet18_1xb4-300i_cil-roads-256px': (
            11_539_460,
            {'Ours, F1, mean of 3 seeds': 76.9},
        ),
    },
    'change_detection': {
        'fc-siam-diff_fcsn_1xb4-300i_levir-sztaki-128px': (1_352_210, {'Ours, F1': 0.0}),
        'opencd-siamese_dynamicvis-base_1xb8-800e-scratch_oscd-512px': (48_138_562, {}),
        'semantic-siamese_dynamicvis-base_1xb8-200e_second-512px': (56_144_712, {}),
        'semantic-siamese_dynamicvis-tiny_1xb8-200e-scratch_landsat-scd-416px': (3_910_534, {}),
        'semantic-siamese_dynamicvis-tiny_1xb8-200e-scratch_second-512px': (4_177_928, {}),
        'siamese-buildings_dynamicvis-tiny_1xb8-50e-scratch_whu-levir-256px': (3_587_844, {}),
        'siamese-damage_dynamicvis-base_1xb8-50e_xbd-512px': (56_144_198, {}),
        'siamese-damage_dynamicvis-tiny_1xb8-50e-scratch_xbd-256px': (3_587_974, {}),
        'siamese-damage_multimodal-dynamicvis-tiny_1xb8-50e_bright-512px': (4_774_133, {}),
        'siamese-mask2former_dynamicvis-tiny_1xb4-300i_levir-sztaki-128px': (3_098_723, {}),
        'siamese_dynamicvis-base_1xb8-200e-scratch_dsifn-512px': (48_138_562, {}),
        'siamese_dynamicvis-base_1xb8-200e_whu-cd-256px': (46_958_914, {'Paper F1': 93.73}),
        'siamese_dynamicvis-base_1xb8-200e_whu-cd-512px': (48_138_562, {'Paper F1': 94.27}),
        'siamese_dynamicvis-base_1xb8-800e-scratch_oscd-13bands-256px': (47_005_954, {}),
        'siamese_dynamicvis-base_1xb8-800e_levir-cd-1024px': (52_857_154, {'Paper F1': 92.05}),
        'siamese_dynamicvis-base_1xb8-800e_levir-cd-512px': (48_138_562, {'Paper F1': 91.82}),
        'siamese_dynamicvis-base_1xb8-800e_oscd-256px': (46_958_914, {'Paper F1': 56.23}),
        'siamese_dynamicvis-base_1xb8-800e_oscd-512px': (48_138_562, {'Paper F1': 59.9}),
        'siamese_dynamicvis-large_1xb8-200e_whu-cd-256px': (101_185_282, {'Paper F1': 93.6}),
        'siamese_dynamicvis-large_1xb8-200e_whu-cd-512px': (102_758_146, {'Paper F1': 94.79}),
        'siamese_dynamicvis-large_1xb8-800e_levir-cd-1024px': (109_049_602, {'Paper F1': 92.32}),
        'siamese_dynamicvis-large_1xb8-800e_levir-cd-512px': (102_758_146, {'Paper F1': 91.9}),
        'siamese_dynamicvis-large_1xb8-800e_oscd-256px': (101_185_282, {'Paper F1': 57.11}),
        'siamese_dynamicvis-large_1xb8-800e_oscd-512px': (102_758_146, {'Paper F1': 60.25}),
        'siamese_dynamicvis-tiny_1xb4-300i_levir-sztaki-128px': (
            3_086_210,
            {'Ours, F1 of one seed': 13.4},
        ),
        'siamese_dynamicvis-tiny_1xb8-200e-scratch_whu-cd-256px': (3_233_666, {}),
        'siamese_dynamicvis-tiny_1xb8-800e-scratch_levir-cd-512px': (3_823_490, {}),
        'siamese_multimodal-dynamicvis-tiny_1xb4-300i_oscd-resolutions-96px': (3_836_834, {}),
        'siamese_resnet18_1xb4-300i_levir-sztaki-128px': (
            11_781_698,
            {'Ours, F1, mean of 3 seeds': 12.0},
        ),
    },
    'pretraining': {
        'ce_dynamicvis-tiny_1xb16-24e_nwpu-192px': (
            2_871_435,
            {
                'Ours, F1, mean of 3 seeds': 85.4,
                'Ours, published design, F1, mean of 3 seeds': 67.8,
            },
        ),
        'mil_dynamicvis-base_8xb64-200e_fmow-512px': (
            41_404_801,
            {'Paper precision': 97.49, 'Paper recall': 97.03, 'Paper F1': 97.19},
        ),
        'mil_dynamicvis-large_8xb32-200e_fmow-512px': (
            96_024_385,
            {'Paper precision': 97.91, 'Paper recall': 97.97, 'Paper F1': 97.87},
        ),
        'mil_dynamicvis-tiny_1xb16-1e_fmow-192px': (2_878_913, {}),
        'mil_dynamicvis-tiny_1xb16-24e_nwpu-192px': (
            2_872_076,
            {
                'Ours, F1, mean of 3 seeds': 85.6,
                'Ours, published design, F1, mean of 3 seeds': 67.7,
            },
        ),
        'modality_multimodal-dynamicvis-tiny_1xb8-50e_terramesh-224px': (4_254_816, {}),
        'text_dynamicvis-tiny_1xb16-6e_nwpu-heldout-128px': (2_842_626, {}),
    },
    'retrieval': {
        'pooled_dynamicvis-base_1xb64-zeroshot_bigearthnet43-256px': (
            36_745_536,
            {
                'Paper mAP@20, float': 94.65,
                'Paper mAP@20, binary': 94.07,
                'Paper mAP@20, 64 bits': 88.66,
            },
        ),
        'pooled_dynamicvis-base_1xb64-zeroshot_forestnet12-332px': (
            36_745_536,
            {
                'Paper mAP@20, float': 44.15,
                'Paper mAP@20, binary': 43.94,
                'Paper mAP@20, 64 bits': 36.5,
            },
        ),
        'pooled_dynamicvis-tiny_1xb32-zeroshot_aid150-128px': (2_496_384, {}),
        'pooled_resnet18_1xb32-zeroshot_aid150-128px': (11_176_512, {}),
    },
}


# config -> name in mmdynamicvis/zoo of weights that others published, which `mim download` fetches
PUBLISHED = {'mil_dynamicvis-base_8xb64-200e_fmow-512px': 'dynamicvis_base_fmow'}


def metafile(folder: str) -> str:
    """Return the text of ``configs/FOLDER/metafile.yml``."""
    task, collection, parts = TASKS[folder]
    content = {
        'Collections': [
            {
                'Name': collection,
                'Metadata': {'Architecture': ['Mamba', 'Token selection', *parts]},
                'Paper': PAPER,
                'README': f'configs/{folder}/README.md',
            }
        ],
        'Models': [
            {
                'Name': name,
                'In Collection': collection,
                'Config': f'configs/{folder}/{name}.py',
                'Metadata': {
                    'Training Data': training_data(folder, name),
                    'Parameters': parameters,
                },
                **published_weights(name),
                **results(task, dataset(name), figures),
            }
            for name, (parameters, figures) in MODELS[folder].items()
        ],
    }
    header = '# Written by tools/dev/metafiles.py: edit the table there.\n'
    return header + yaml.safe_dump(content, sort_keys=False, width=200)


def published_weights(name: str) -> dict[str, str]:
    """Return the address of a config's weights, if others published them."""
    if name not in PUBLISHED:
        return {}
    owner, repository, file = zoo.find(PUBLISHED[name]).source.removeprefix('hf://').split('/', 2)
    return {'Weights': f'https://huggingface.co/{owner}/{repository}/resolve/main/{file}'}


def dataset(name: str) -> str:
    """Return the dataset in a config's name, NAME_DATA-SIZEpx."""
    return DATASETS[name.rsplit('_', 1)[1].rsplit('-', 1)[0]]


def training_data(folder: str, name: str) -> list[str] | str:
    """Return the training data of a model, that of pretraining first."""
    if folder == 'retrieval':
        return 'none'
    if '-nwpu_' in name:
        return [DATASETS['nwpu'], dataset(name)]
    large = any(arch in name for arch in ('_base_', '_large_', '-base_', '-large_'))
    if large and folder != 'pretraining' and '-scratch_' not in name:
        return [DATASETS['fmow'], dataset(name)]
    return dataset(name)


def results(task: str, dataset: str, figures: dict[str, float]) -> dict:
    """Return the results of a model in the format of metafiles."""
    if not figures:
        return {}
    metrics = {
        f'{name} (not reproduced)' if name.startswith('Paper') else name: value
        for name, value in figures.items()
    }
    return {'Results': [{'Task': task, 'Dataset': dataset, 'Metrics': metrics}]}


def model_zoo() -> str:
    """Return the text of ``docs/model_zoo.md``."""
    parts = [
        '<!-- Written by tools/dev/metafiles.py: edit the table there, or a card in '
        'mmdynamicvis/zoo. -->\n\n'
        '# Model zoo\n\n'
        'Weights by name, then every config with its results. How to load weights: '
        '[checkpoints](checkpoints.md).\n\n'
        '## Weights\n\n'
        'A model card has bands, units, normalization, ground sampling distance, classes, license '
        'and SHA-256.\n\n',
        table(
            ('name and model card', 'task', 'arch', 'bands', 'trained on', 'license', 'measured'),
            [weights_row(card) for card in zoo.cards().values()],
        ),
        '\n```{toctree}\n:hidden:\n\n'
        + ''.join(f'../mmdynamicvis/zoo/{name}\n' for name in zoo.cards())
        + '```\n',
        '\n## Configs\n\n'
        'Results are in percent. "Paper": the figure of the paper, **not reproduced** here.\n'
        '"Ours": measured with this code, in short trainings on little data that the page of\n'
        'the task describes. Configs train with `mim train mmdynamicvis NAME.py`; those of\n'
        'retrieval only test.\n',
    ]
    for folder, models in MODELS.items():
        rows = [
            (
                f'[{name}](../configs/{folder}/{name}.py)',
                f'{parameters / 1e6:.1f} M',
                trained_on(folder, name),
                '; '.join(f'{metric}: {value}' for metric, value in figures.items()),
            )
            for name, (parameters, figures) in models.items()
        ]
        parts.append(
            f'\n### {TASKS[folder][0]}\n\n[Page of the task](../configs/{folder}/README.md)\n\n'
            + table(('config', 'parameters', 'training data', 'results'), rows)
        )
    return ''.join(parts)


def weights_row(card: zoo.Weights) -> tuple[str, ...]:
    """Return the row of weights in the model zoo."""
    return (
        f'[{card.name}](../mmdynamicvis/zoo/{card.name}.md)',
        card.task,
        card.arch,
        ', '.join(card.bands),
        card.data,
        card.license,
        '; '.join(f'{metric}: {value}' for metric, value in card.metrics.items()) or 'not here',
    )


def trained_on(folder: str, name: str) -> str:
    """Return the training data of a model as text."""
    data = training_data(folder, name)
    return data if isinstance(data, str) else ', then '.join(data)


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [header, ('---',) * len(header), *rows]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def main() -> None:
    for folder in MODELS:
        (CHECKOUT / f'configs/{folder}/metafile.yml').write_text(metafile(folder))
    (CHECKOUT / 'docs/model_zoo.md').write_text(model_zoo())


if __name__ == '__main__':
    main()
