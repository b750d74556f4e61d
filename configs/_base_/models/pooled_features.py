# The mean over the last map; the test takes the weights of any model with this backbone.
default_scope = 'mmpretrain'
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
model = dict(
    type='mmdynamicvis.PooledFeatures',
    backbone=dict(type='mmdynamicvis.DynamicVis', arch='base', published=True, img_size=512),
)
