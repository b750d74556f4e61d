# Massachusetts roads: 1108 images of 1500 px to train, 14 to validate, 49 to test, masks of 0 and
# 255; enlarged twice. data/massachusetts_roads holds {train,valid,test}/{sat,map}/ as published:
#   python tools/prepare_data/check_segmentation.py massachusetts_roads data/massachusetts_roads
_base_ = ['binary_1024px.py']

data_root = 'data/massachusetts_roads/'
dataset = dict(type='mmdynamicvis.MassachusettsRoadsSegDataset', data_root=data_root)
train_dataloader = dict(
    dataset=dict(dataset, data_prefix=dict(img_path='train/sat', seg_map_path='train/map')),
)
val_dataloader = dict(
    dataset=dict(dataset, data_prefix=dict(img_path='valid/sat', seg_map_path='valid/map')),
)
test_dataloader = dict(
    dataset=dict(dataset, data_prefix=dict(img_path='test/sat', seg_map_path='test/map')),
)
