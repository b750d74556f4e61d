# 11 pairs of 256 px cut out of LEVIR-CD: 8 to train, 3 held out, of other scenes. data/levir_cd
# holds A/, B/, label/ and list/all.txt. For small machines, counted in iterations.
_base_ = ['pairs_256px.py']

dataset = dict(
    data_root='data/levir_cd/',
    ann_file='list/all.txt',
    data_prefix=dict(img_path='A', img_path2='B', seg_map_path='label'),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(dataset, indices=[0, 1, 2, 3, 6, 7, 8, 9]),
)
# test_55_0256_0000, test_77_0512_0256 and val_27_0000_0256
val_dataloader = dict(num_workers=1, dataset=dict(dataset, indices=[4, 5, 10]))
test_dataloader = val_dataloader
