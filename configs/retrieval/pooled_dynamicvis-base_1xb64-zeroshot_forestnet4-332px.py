# Retrieval on ForestNet with 4 classes, mAP@20 in %.
# Paper: not given here. Ours: not measured.
#   mim test mmdynamicvis pooled_dynamicvis-base_1xb64-zeroshot_forestnet4-332px.py \
#       --checkpoint FILE.safetensors
_base_ = [
    '../_base_/models/pooled_features.py',
    '../_base_/datasets/forestnet_332px.py',
    '../_base_/retrieval_runtime.py',
]

classes = dict(num_classes=4)
test_dataloader = dict(dataset=dict(queries=classes, database=classes))
