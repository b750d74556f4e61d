# What all configs share. The scope, where plain type names are looked up, and what draws pictures
# come with the model; metrics with the dataset; loops and hooks with the schedule.
env_cfg = dict(
    cudnn_benchmark=False,
    # Each worker is one process: OpenCV's own threads would only compete with it.
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
