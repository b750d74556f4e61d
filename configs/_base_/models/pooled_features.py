# The mean over the last map; weights of any model with this backbone are given at the test.
default_scope = 'mmpretrain'
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
model = dict(
    type='mmdynamicvis.PooledFeatures',
    backbone=dict(type='mmdynamicvis.DynamicVis', arch='base', published=True, img_size=512),
)
