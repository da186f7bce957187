"""The aliked backend: ALIKED keypoints and LightGlue matches, by networks that anyone may use."""
