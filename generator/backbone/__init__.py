"""What the generators stand on: video and image autoencoders, T5, the base text-to-video model."""
