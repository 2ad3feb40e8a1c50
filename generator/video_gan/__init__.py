"""What StyleGAN-V and MoStGAN-V share: layers, motion codes, networks, the training of two."""
