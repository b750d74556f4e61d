# NWPU VHR-10 with rotated boxes derived from its masks (10 categories), for small machines.
# data/nwpu_vhr10 holds imgs/ and labelTxt_derived_minarearect/{train,val}/NAME.txt:
#   python tools/prepare_data/rotated_boxes.py --help
_base_ = ['rotated_256px.py']

data_root = 'data/nwpu_vhr10/'
dataset = dict(
    type='mmdynamicvis.NWPURotatedDataset',
    data_root=data_root,
    data_prefix=dict(img_path='imgs/'),
)
train_dataloader = dict(dataset=dict(ann_file='labelTxt_derived_minarearect/train/', **dataset))
val_dataloader = dict(dataset=dict(ann_file='labelTxt_derived_minarearect/val/', **dataset))
test_dataloader = val_dataloader
