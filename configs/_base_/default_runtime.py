# Settings shared by all configs. The scope, in which plain type names are looked up, and the
# visualizer are set by the model; metrics by the dataset; loops and hooks by the schedule.
env_cfg = dict(
    cudnn_benchmark=False,
    # Each worker is one process, with which OpenCV's own threads would only compete.
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
