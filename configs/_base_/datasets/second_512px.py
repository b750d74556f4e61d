# SECOND: 2968 pairs of 512 px to train, 1694 to test, six classes of land cover. data/second holds
# {train,test}/{im1,im2,label1,label2}/, as published. There is no part for validation: the test
# pairs are evaluated during training, too, and no checkpoint is to be chosen by them.
_base_ = ['semantic_pairs.py']

second = dict(type='mmdynamicvis.SECOND', data_root='data/second/')
train_dataloader = dict(
    dataset=dict(
        second,
        data_prefix=dict(
            img_path='train/im1',
            img_path2='train/im2',
            semantic_from='train/label1',
            semantic_to='train/label2',
        ),
    ),
)
val_dataloader = dict(
    dataset=dict(
        second,
        data_prefix=dict(
            img_path='test/im1',
            img_path2='test/im2',
            semantic_from='test/label1',
            semantic_to='test/label2',
        ),
    ),
)
test_dataloader = val_dataloader
