# Retrieval on ForestNet with 12 classes, mAP@20 in %.
# Paper (table 12), base: float 44.15, binary 43.94, 64-bit 36.50. Ours: not reproduced.
#   mim test mmdynamicvis pooled_dynamicvis-base_1xb64-zeroshot_forestnet12-332px.py \
#       --checkpoint FILE.safetensors
_base_ = [
    '../_base_/models/pooled_features.py',
    '../_base_/datasets/forestnet_332px.py',
    '../_base_/schedules/test_only.py',
    '../_base_/default_runtime.py',
]

classes = dict(num_classes=12)
test_dataloader = dict(dataset=dict(queries=classes, database=classes))
