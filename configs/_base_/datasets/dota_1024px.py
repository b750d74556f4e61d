# DOTA-v1.0 (15 categories) in tiles of 1024 px that overlap by 200 px, cut by mmrotate's own tool:
#   python tools/prepare_data/dota.py --help
# As usual, training uses train and val, so a validation is on training data. The labels of the test
# images are not public: a test writes a zip file of detections, merged over tiles, to submit to
# DOTA's server.
_base_ = ['rotated_1024px.py']

data_root = 'data/split_ss_dota/'
dataset = dict(
    type='mmdynamicvis.DOTATextDataset',
    data_root=data_root,
    ann_file='trainval/annfiles/',
    data_prefix=dict(img_path='trainval/images/'),
)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(
    dataset=dict(
        type='mmdynamicvis.DOTATextDataset',
        data_root=data_root,
        data_prefix=dict(img_path='test/images/'),
    ),
)
test_evaluator = dict(
    format_only=True,
    merge_patches=True,
    # files that must not exist
    outfile_prefix='work_dirs/dota_task1',
)
