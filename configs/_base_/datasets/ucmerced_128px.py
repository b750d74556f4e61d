# UC Merced: 21 classes. data/UCMerced_LandUse holds Images/<class>/<class>NN.tif,
# train.txt and val.txt:
#   python tools/prepare_data/split_classification.py data/UCMerced_LandUse \
#       --images Images --train-ratio 0.7
_base_ = ['scenes_128px.py']

data_root = 'data/UCMerced_LandUse'
data_preprocessor = dict(num_classes=21)
dataset = dict(type='mmdynamicvis.UCMerced', data_root=data_root)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
