# As levir_cd_samples_256px.py, by open-cd.
_base_ = ['opencd_pairs_256px.py']

dataset = dict(
    data_root='data/levir_cd/',
    ann_file='list/all.txt',
    img_suffix='',
    seg_map_suffix='',
    data_prefix=dict(img_path_from='A', img_path_to='B', seg_map_path='label'),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(dataset, indices=[0, 1, 2, 3, 6, 7, 8, 9]),
)
val_dataloader = dict(num_workers=1, dataset=dict(dataset, indices=[4, 5, 10]))
test_dataloader = val_dataloader
