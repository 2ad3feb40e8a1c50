"""StyleGAN-V: a GAN of clips whose frames follow from continuous time (arXiv 2112.14683)."""
