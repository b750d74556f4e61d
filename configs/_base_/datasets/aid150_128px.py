# A part of AID at 150 px: 30 classes, 1500 images to train and 600 to validate. data/aid150 holds
# <Class>/<class>_N.jpg, train.txt and val.txt.
_base_ = ['scenes_128px.py']

data_root = 'data/aid150'
data_preprocessor = dict(num_classes=30)
dataset = dict(type='mmdynamicvis.AID', data_root=data_root)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
