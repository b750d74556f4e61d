# Region pretraining of DynamicVis base on fMoW by cross entropy alone (table 11).
# Paper: see table 11. Ours: not reproduced.
#   mim train mmdynamicvis ce_dynamicvis-base_8xb64-200e_fmow-512px.py \
#       --launcher pytorch --gpus 8
_base_ = ['mil_dynamicvis-base_8xb64-200e_fmow-512px.py']

model = dict(head=dict(mil_weight=0.0))
