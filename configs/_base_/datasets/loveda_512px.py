# LoveDA: 7 classes of land cover in images of 1024 px, 2522 to train, 1669 to validate. data/loveDA
# is the output of mmseg's tools/dataset_converters/loveda.py; 0 is nodata.
_base_ = ['land_cover_512px.py']

data_root = 'data/loveDA/'
dataset = dict(type='LoveDADataset', data_root=data_root)
train_dataloader = dict(
    dataset=dict(dataset, data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train')),
)
val_dataloader = dict(
    dataset=dict(dataset, data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val')),
)
test_dataloader = val_dataloader
