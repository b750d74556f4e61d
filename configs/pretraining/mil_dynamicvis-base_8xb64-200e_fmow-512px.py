# Region pretraining of DynamicVis base on fMoW, with MIL-NCE.
# Paper: P/R/F1 97.49/97.03/97.19. Ours: not reproduced.
#   mim train mmdynamicvis mil_dynamicvis-base_8xb64-200e_fmow-512px.py \
#       --launcher pytorch --gpus 8
_base_ = [
    '../_base_/models/mil_pretrainer.py',
    '../_base_/datasets/fmow_512px.py',
    '../_base_/schedules/adamw_cosine_pretraining_200e.py',
    '../_base_/pretraining_runtime.py',
]

model = dict(head=dict(classes={{_base_.classes}}))
