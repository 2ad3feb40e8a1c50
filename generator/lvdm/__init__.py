"""LVDM: latent video diffusion with a U-Net, trained from nothing, without captions."""
