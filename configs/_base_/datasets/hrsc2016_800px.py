# HRSC2016 (ships): 617 images to train and validate, 444 to test. data/hrsc is as published, with
# FullDataSet/{AllImages,Annotations} and ImageSets/.
_base_ = ['rotated_800px.py']

data_root = 'data/hrsc/'
dataset = dict(
    type='mmdynamicvis.HRSC2016Dataset',
    data_root=data_root,
    data_prefix=dict(sub_data_root='FullDataSet/'),
)
train_dataloader = dict(dataset=dict(ann_file='ImageSets/trainval.txt', **dataset))
val_dataloader = dict(dataset=dict(ann_file='ImageSets/test.txt', **dataset))
test_dataloader = val_dataloader
