# AID: 30 classes. data/AID holds <Class>/<class>_N.jpg, train.txt and val.txt:
#   python tools/prepare_data/split_classification.py data/AID --train-ratio 0.5
_base_ = ['scenes_512px.py']

data_root = 'data/AID'
data_preprocessor = dict(num_classes=30)
dataset = dict(type='mmdynamicvis.AID', data_root=data_root)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
