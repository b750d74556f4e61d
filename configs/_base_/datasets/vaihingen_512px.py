# ISPRS Vaihingen: 6 classes in tiles of 512 px, near infrared, red, green. data/vaihingen is
# the output of mmseg's tools/dataset_converters/vaihingen.py; 0 is the boundary, which is ignored.
_base_ = ['land_cover_512px.py']

data_root = 'data/vaihingen/'
dataset = dict(type='ISPRSDataset', data_root=data_root)
train_dataloader = dict(
    dataset=dict(dataset, data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train')),
)
val_dataloader = dict(
    dataset=dict(dataset, data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val')),
)
test_dataloader = val_dataloader
