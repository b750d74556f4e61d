# OSCD in R, G, B, enlarged twice: tiles of 256 px that overlap by 128 px, from 14
# cities to train and 10 to test (also used for validation: there is no third part). data/oscd_tiles
# holds A/, B/, label/ and list/{train,test}.txt:
#   python tools/prepare_data/oscd.py --help
_base_ = ['pairs_512px.py']

dataset = dict(
    data_root='data/oscd_tiles/',
    data_prefix=dict(img_path='A', img_path2='B', seg_map_path='label'),
)
train_dataloader = dict(dataset=dict(dataset, ann_file='list/train.txt'))
val_dataloader = dict(dataset=dict(dataset, ann_file='list/test.txt'))
test_dataloader = dict(dataset=dict(dataset, ann_file='list/test.txt'))
