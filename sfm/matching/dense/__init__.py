"""From dense pair inference to keypoints, tracks and depth: the mast3r backend around its network."""
