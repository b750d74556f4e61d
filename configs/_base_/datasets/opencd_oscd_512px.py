# OSCD in R, G, B enlarged twice, by open-cd (whose LEVIR_CD_Dataset reads any folders A/, B/,
# label/ of .png). As oscd_512px.py says, data/oscd_tiles is made by tools/prepare_data/oscd.py.
_base_ = ['opencd_pairs_512px.py']

dataset = dict(
    data_root='data/oscd_tiles/',
    data_prefix=dict(img_path_from='A', img_path_to='B', seg_map_path='label'),
)
train_dataloader = dict(dataset=dict(dataset, ann_file='list/train.txt'))
val_dataloader = dict(dataset=dict(dataset, ann_file='list/test.txt'))
test_dataloader = dict(dataset=dict(dataset, ann_file='list/test.txt'))
