# Retrieval on BigEarthNet with 19 classes, mAP@20 in %, any shared class counts.
# Paper: not given here. Ours: not measured.
#   mim test mmdynamicvis pooled_dynamicvis-base_1xb64-zeroshot_bigearthnet19-256px.py \
#       --checkpoint FILE.safetensors
_base_ = [
    '../_base_/models/pooled_features.py',
    '../_base_/datasets/bigearthnet_256px.py',
    '../_base_/retrieval_runtime.py',
]

classes = dict(num_classes=19)
test_dataloader = dict(dataset=dict(queries=classes, database=classes))
