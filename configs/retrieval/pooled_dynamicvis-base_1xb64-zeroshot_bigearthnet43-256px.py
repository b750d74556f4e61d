# Retrieval on BigEarthNet with 43 classes, mAP@20 in %, any shared class counts.
# Paper (table 12), base: float 94.65, binary 94.07, 64-bit 88.66. Ours: not reproduced.
#   mim test mmdynamicvis pooled_dynamicvis-base_1xb64-zeroshot_bigearthnet43-256px.py \
#       --checkpoint FILE.safetensors
_base_ = [
    '../_base_/models/pooled_features.py',
    '../_base_/datasets/bigearthnet_256px.py',
    '../_base_/schedules/test_only.py',
    '../_base_/default_runtime.py',
]

classes = dict(num_classes=43)
test_dataloader = dict(dataset=dict(queries=classes, database=classes))
