# Sentinel-2, Sentinel-1 and elevation at 10 m without labels, for pretraining: the tiles of
# terramind_lulc_224px.py, {S2L2A,S1RTC,DEM}/NAME.tif below data/terramind/train. A tile may lack
# Sentinel-1 or elevation.
_base_ = ['terramind_lulc_224px.py']

train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(
            _delete_=True, sentinel2='train/S2L2A', sentinel1='train/S1RTC', dem='train/DEM'
        ),
        optional=['sentinel1', 'dem'],
    ),
)
val_dataloader = None
val_evaluator = None
test_dataloader = None
test_evaluator = None
