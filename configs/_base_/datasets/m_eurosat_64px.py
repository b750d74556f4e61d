# GEO-Bench's m-eurosat: 13 Sentinel-2 bands at 64 px, 10 classes, 2000 training, 1000 validation
# and 1000 test images, of which the visible bands are used. data/m-eurosat is the folder
# classification_v1.0/m-eurosat of GEO-Bench's download.
_base_ = ['eurosat_64px.py']

data_root = 'data/m-eurosat'
# As in EuroSAT's RGB images 2750, a reflectance of 0.275, is white.
loader = dict(
    type='mmdynamicvis.LoadGEOBench', bands=['02 - Blue', '03 - Green', '04 - Red'], white=2750
)
train_pipeline = [loader, *_base_.train_pipeline[1:]]
test_pipeline = [loader, dict(type='PackInputs')]
dataset = dict(_delete_=True, type='mmdynamicvis.GEOBench', data_root=data_root)
train_dataloader = dict(dataset=dict(**dataset, subset='train', pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(**dataset, subset='valid', test_mode=True, pipeline=test_pipeline)
)
test_dataloader = dict(
    dataset=dict(**dataset, subset='test', test_mode=True, pipeline=test_pipeline)
)
