"""Sparse global alignment (MASt3R-SfM, Duisterhof et al., 3DV 2025), with few depths an image."""
