"""SlowFast, MViTv2, video transformers and probes: training, prediction."""
