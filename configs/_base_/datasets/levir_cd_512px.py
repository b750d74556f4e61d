# LEVIR-CD, at its own size: 445 pairs of 1024 px to train, 64 to validate, 128 to test.
# data/levir_cd holds {train,val,test}/{A,B,label}/, as published.
_base_ = ['scene_pairs_512px.py']

data_root = 'data/levir_cd/'
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(img_path='train/A', img_path2='train/B', seg_map_path='train/label'),
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(img_path='val/A', img_path2='val/B', seg_map_path='val/label'),
    ),
)
test_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(img_path='test/A', img_path2='test/B', seg_map_path='test/label'),
    ),
)
