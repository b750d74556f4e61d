# DSIFN: pairs of 512 px from six cities, at their own size. data/dsifn holds
# {train,val,test}/{t1,t2,mask}/, images .jpg, masks .png (.tif in test), as published.
_base_ = ['pairs_512px.py']

dataset = dict(data_root='data/dsifn/', img_suffix='.jpg')
prefix = dict(img_path='train/t1', img_path2='train/t2', seg_map_path='train/mask')
train_dataloader = dict(dataset=dict(dataset, data_prefix=prefix))
prefix = dict(img_path='val/t1', img_path2='val/t2', seg_map_path='val/mask')
val_dataloader = dict(dataset=dict(dataset, data_prefix=prefix))
prefix = dict(img_path='test/t1', img_path2='test/t2', seg_map_path='test/mask')
test_dataloader = dict(dataset=dict(dataset, data_prefix=prefix, seg_map_suffix='.tif'))
