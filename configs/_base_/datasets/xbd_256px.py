# xBD (xView2): crops of 256 px from pairs of 1024 px, all else as in xbd_512px.py.
_base_ = ['xbd_512px.py']

size = (256, 256)
data_preprocessor = dict(size=size)
train_pipeline = [
    dict(step, crop_size=size) if step.type == 'RandomCrop' else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(part, pipeline=train_pipeline) for part in _base_.train_dataloader.dataset.datasets
        ],
    ),
)
