# AdamW for region pretraining; the meta-embeddings and their scale are not decayed.
_base_ = ['adamw_cosine.py']

optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(log_scale=dict(decay_mult=0.0), meta_embeddings=dict(decay_mult=0.0)),
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=1,
        eta_min_ratio=0.01,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(checkpoint=dict(save_best='region/f1-score', rule='greater'))
