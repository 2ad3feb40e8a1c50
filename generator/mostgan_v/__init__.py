"""MoStGAN-V: a StyleGAN-V whose layers attend to styles of motion (arXiv 2304.02777)."""
