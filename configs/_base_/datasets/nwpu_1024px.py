# NWPU VHR-10 with masks: 10 classes, 520 images to train and 130 to validate. data/nwpu_vhr10 holds
# imgs/ and annotations/NWPU_instances_{train,val}.json.
_base_ = ['instances_1024px.py']

data_root = 'data/nwpu_vhr10/'
dataset = dict(
    type='mmdynamicvis.NWPUInsSegDataset',
    data_root=data_root,
    ann_file='annotations/NWPU_instances_val.json',
    data_prefix=dict(img='imgs/'),
)
train_dataloader = dict(dataset=dict(dataset, ann_file='annotations/NWPU_instances_train.json'))
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
val_evaluator = dict(ann_file=data_root + 'annotations/NWPU_instances_val.json')
test_evaluator = val_evaluator
