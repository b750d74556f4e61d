# WHU-CD enlarged twice, by open-cd (whose LEVIR_CD_Dataset reads any folders A/, B/, label/ of
# .png). As whu_cd_512px.py says, data/whu_cd is made by tools/prepare_data/whu_cd.py.
_base_ = ['opencd_pairs_512px.py']

dataset = dict(
    data_root='data/whu_cd/',
    data_prefix=dict(img_path_from='A', img_path_to='B', seg_map_path='label'),
)
train_dataloader = dict(dataset=dict(dataset, ann_file='list/train.txt'))
val_dataloader = dict(dataset=dict(dataset, ann_file='list/val.txt'))
test_dataloader = dict(dataset=dict(dataset, ann_file='list/test.txt'))
