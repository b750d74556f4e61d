# Region pretraining of DynamicVis base without selection on fMoW, with MIL-NCE.
# Paper: see table 11. Ours: not reproduced.
#   mim train mmdynamicvis mil_dynamicvis-base-dense_8xb64-200e_fmow-512px.py \
#       --launcher pytorch --gpus 8
_base_ = ['mil_dynamicvis-base_8xb64-200e_fmow-512px.py']

model = dict(backbone=dict(reduction_ratios=None, selection_noise=None))
custom_hooks = [
    dict(type='mmdynamicvis.ExactResumeHook'),
    dict(type='NumClassCheckHook'),
]
