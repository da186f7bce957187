"""The MASt3R network (Leroy, Cabon, Revaud: Grounding Image Matching in 3D with MASt3R, ECCV 2024), our own
implementation: photos in, descriptors and points out. It knows nothing of databases, pairs to match, or runs.
"""
