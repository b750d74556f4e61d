# Extraction of buildings and change detection together with DynamicVis tiny, as in RSBuilding:
# WHU's single images have masks of buildings, LEVIR-CD's pairs masks of change. From scratch, for
# small machines.
# Paper: no number for this model. Ours: not trained.
#   mim train mmdynamicvis siamese-buildings_dynamicvis-tiny_1xb8-50e-scratch_whu-levir-256px.py
_base_ = [
    '../_base_/models/siamese_buildings_tiny.py',
    '../_base_/datasets/whu_levir_256px.py',
    '../_base_/schedules/adamw_cosine_change.py',
    '../_base_/default_runtime.py',
]

model = dict(test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128)))
train_cfg = dict(max_epochs=50)
default_hooks = dict(checkpoint=dict(save_best='change/target/f1', rule='greater'))
