# fMoW-rgb as WebDataset shards (62 categories and "false detection"), data/fmow/train and
# data/fmow/test:
#   python tools/prepare_data/fmow.py RAW data/fmow/train --splits train val
#   python tools/prepare_data/fmow.py RAW data/fmow/test --splits test
data_root = 'data/fmow/'
classes = [
    'airport',
    'airport_hangar',
    'airport_terminal',
    'amusement_park',
    'aquaculture',
    'archaeological_site',
    'barn',
    'border_checkpoint',
    'burial_site',
    'car_dealership',
    'construction_site',
    'crop_field',
    'dam',
    'debris_or_rubble',
    'educational_institution',
    'electric_substation',
    'factory_or_powerplant',
    'fire_station',
    'flooded_road',
    'fountain',
    'gas_station',
    'golf_course',
    'ground_transportation_station',
    'helipad',
    'hospital',
    'impoverished_settlement',
    'interchange',
    'lake_or_pond',
    'lighthouse',
    'military_facility',
    'multi-unit_residential',
    'nuclear_powerplant',
    'office_building',
    'oil_or_gas_facility',
    'park',
    'parking_lot_or_garage',
    'place_of_worship',
    'police_station',
    'port',
    'prison',
    'race_track',
    'railway_bridge',
    'recreational_facility',
    'road_bridge',
    'runway',
    'shipyard',
    'shopping_mall',
    'single-unit_residential',
    'smokestack',
    'solar_farm',
    'space_facility',
    'stadium',
    'storage_tank',
    'surface_mine',
    'swimming_pool',
    'toll_booth',
    'tower',
    'tunnel_opening',
    'waste_disposal',
    'water_treatment_facility',
    'wind_farm',
    'zoo',
    'false_detection',
]
data_preprocessor = dict(
    type='DetDataPreprocessor',
    # for R, G, B in [0, 255]
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_size_divisor=32,
    # in training, images smaller than a crop are padded
    batch_augments=[dict(type='BatchFixedSizePad', size=(512, 512))],
)
train_pipeline = [
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='mmdynamicvis.RandomScaleCrop',
        crop_size=(512, 512),
        ratio_range=(0.1, 2.0),
        allow_negative_crop=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(8, 8), keep_empty=False),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(512, 512), keep_ratio=True),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    drop_last=True,
    # the stream orders its samples itself
    sampler=None,
    collate_fn=dict(type='mmdynamicvis.single_storage_collate'),
    dataset=dict(
        type='mmdynamicvis.RegionStream',
        shards=data_root + 'train',
        metainfo=dict(classes=classes),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    sampler=None,
    dataset=dict(
        type='mmdynamicvis.RegionStream',
        shards=data_root + 'test',
        metainfo=dict(classes=classes),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='mmdynamicvis.RegionMetric')]
test_evaluator = [dict(type='mmdynamicvis.RegionMetric', confusion_matrix=True)]
