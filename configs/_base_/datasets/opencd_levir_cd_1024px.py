# LEVIR-CD enlarged twice, by open-cd. data/levir_cd holds {train,val,test}/{A,B,label}/.
_base_ = ['opencd_pairs_1024px.py']

dataset = dict(data_root='data/levir_cd/')
prefix = dict(img_path_from='train/A', img_path_to='train/B', seg_map_path='train/label')
train_dataloader = dict(dataset=dict(dataset, data_prefix=prefix))
prefix = dict(img_path_from='val/A', img_path_to='val/B', seg_map_path='val/label')
val_dataloader = dict(dataset=dict(dataset, data_prefix=prefix))
prefix = dict(img_path_from='test/A', img_path_to='test/B', seg_map_path='test/label')
test_dataloader = dict(dataset=dict(dataset, data_prefix=prefix))
