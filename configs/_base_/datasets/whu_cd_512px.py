# WHU-CD, enlarged twice: 5947 pairs of tiles of 256 px to train, 744 to
# validate, 744 to test. data/whu_cd holds A/, B/, label/ and list/{train,val,test}.txt:
#   python tools/prepare_data/whu_cd.py --help
_base_ = ['pairs_512px.py']

dataset = dict(
    data_root='data/whu_cd/',
    data_prefix=dict(img_path='A', img_path2='B', seg_map_path='label'),
)
train_dataloader = dict(dataset=dict(dataset, ann_file='list/train.txt'))
val_dataloader = dict(dataset=dict(dataset, ann_file='list/val.txt'))
test_dataloader = dict(dataset=dict(dataset, ann_file='list/test.txt'))
