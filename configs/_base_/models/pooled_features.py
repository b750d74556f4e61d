# The mean over the last map; weights of any model with this backbone are given at the test.
model = dict(
    type='mmdynamicvis.PooledFeatures',
    backbone=dict(type='mmdynamicvis.DynamicVis', arch='base', published=True, img_size=512),
)
