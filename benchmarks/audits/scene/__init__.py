"""Does a clip show one rigid scene that a camera moves through?

clip -> frames -> parallax? -> cameras (structure from motion) -> training and novel views
     -> a reconstruction of the training views -> PSNR of the novel ones, total variation of depth
     -> the same with the frames shuffled among the cameras

Source: Endora (arXiv 2403.11050), Sec. 3.3, and the steps in its README: COLMAP, then Gaussian
splatting.
"""
