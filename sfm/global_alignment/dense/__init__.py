"""Dense global alignment (DUSt3R, Wang et al., CVPR 2024, §3.4): a depth a pixel, for a handful of images."""
