# Retrieval on a part of AID by ResNet-18, mAP@20 in %, to compare with
# pooled_dynamicvis-tiny_1xb32-zeroshot_aid150-128px.py, whose data and input it shares. Paper: no
# such test. Ours: see README.md in this folder.
#   mim test mmdynamicvis pooled_resnet18_1xb32-zeroshot_aid150-128px.py --checkpoint FILE.pth
_base_ = [
    '../_base_/models/pooled_features.py',
    '../_base_/datasets/aid150_retrieval_128px.py',
    '../_base_/schedules/test_only.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True, type='ResNet', depth=18, num_stages=4, out_indices=(3,), style='pytorch'
    ),
)
