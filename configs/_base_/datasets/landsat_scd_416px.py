# Landsat-SCD: pairs of 416 px at 30 m, four classes of land cover. data/landsat_scd holds A/, B/
# and label/, as published, and {train,val,test}_list.txt, by tools/prepare_data/landsat_scd.py or
# by SCanNet's script. With one label map per date, as SCanNet prepares them, set data_prefix to
# dict(img_path='A', img_path2='B', semantic_from='labelA', semantic_to='labelB').
_base_ = ['semantic_pairs.py']

landsat = dict(
    type='mmdynamicvis.LandsatSCD',
    data_root='data/landsat_scd/',
    data_prefix=dict(img_path='A', img_path2='B', transitions='label'),
)
train_dataloader = dict(dataset=dict(landsat, ann_file='train_list.txt'))
val_dataloader = dict(dataset=dict(landsat, ann_file='val_list.txt'))
test_dataloader = dict(dataset=dict(landsat, ann_file='test_list.txt'))
