# Retrieval on a part of AID, for small machines, mAP@20 in %. Paper: no such test. Ours: see
# README.md in this folder.
#   mim test mmdynamicvis pooled_dynamicvis-tiny_1xb32-zeroshot_aid150-128px.py \
#       --checkpoint FILE.safetensors
_base_ = [
    '../_base_/models/pooled_features.py',
    '../_base_/datasets/aid150_retrieval_128px.py',
    '../_base_/schedules/test_only.py',
    '../_base_/default_runtime.py',
]

# as in the training of the classifier whose backbone is tested
model = dict(backbone=dict(arch='tiny', published=False, img_size=128))
