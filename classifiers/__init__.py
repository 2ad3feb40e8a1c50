"""SlowFast and MViTv2: frame cache, training, prediction."""
