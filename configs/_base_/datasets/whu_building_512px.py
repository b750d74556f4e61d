# WHU aerial buildings: 4736 tiles of 512 px to train, 1036 to validate, 2416 to test, 1-bit masks;
# at their own size. data/whu_building holds {train,val,test}/{image,label}/:
#   python tools/prepare_data/check_segmentation.py whu_building data/whu_building
_base_ = ['binary_512px.py']

data_root = 'data/whu_building/'
dataset = dict(type='mmdynamicvis.WHUSegDataset', data_root=data_root)
train_dataloader = dict(
    dataset=dict(dataset, data_prefix=dict(img_path='train/image', seg_map_path='train/label')),
)
val_dataloader = dict(
    dataset=dict(dataset, data_prefix=dict(img_path='val/image', seg_map_path='val/label')),
)
test_dataloader = dict(
    dataset=dict(dataset, data_prefix=dict(img_path='test/image', seg_map_path='test/label')),
)
