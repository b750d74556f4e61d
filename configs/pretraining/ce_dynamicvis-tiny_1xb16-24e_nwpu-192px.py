# Region pretraining of DynamicVis tiny on the boxes of NWPU VHR-10 by cross entropy alone.
# Paper: no number for this model. Ours: see README.md beside this file.
#   mim train mmdynamicvis ce_dynamicvis-tiny_1xb16-24e_nwpu-192px.py
_base_ = ['mil_dynamicvis-tiny_1xb16-24e_nwpu-192px.py']

model = dict(head=dict(mil_weight=0.0))
