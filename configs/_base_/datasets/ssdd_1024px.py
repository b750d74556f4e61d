# SSDD, ships with masks in SAR images: 928 to train and 232 to validate. data/ssdd holds imgs/ and
# annotations/SSDD_instances_{train,val}.json.
_base_ = ['instances_1024px.py']

data_root = 'data/ssdd/'
dataset = dict(
    type='mmdynamicvis.SSDDInsSegDataset',
    data_root=data_root,
    ann_file='annotations/SSDD_instances_val.json',
    data_prefix=dict(img='imgs/'),
)
train_dataloader = dict(dataset=dict(dataset, ann_file='annotations/SSDD_instances_train.json'))
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
val_evaluator = dict(ann_file=data_root + 'annotations/SSDD_instances_val.json')
test_evaluator = val_evaluator
