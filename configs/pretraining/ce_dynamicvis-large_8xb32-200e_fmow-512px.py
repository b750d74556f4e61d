# Region pretraining of DynamicVis large on fMoW by cross entropy alone (table 11).
# Paper: see table 11. Ours: not reproduced.
#   mim train mmdynamicvis ce_dynamicvis-large_8xb32-200e_fmow-512px.py \
#       --launcher pytorch --gpus 8
_base_ = ['mil_dynamicvis-large_8xb32-200e_fmow-512px.py']

model = dict(head=dict(mil_weight=0.0))
