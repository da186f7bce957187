"""The network: layers, heads, and the images that it takes."""
