"""Global alignment: cameras and depth of all images at once, from pointmaps of pairs."""
