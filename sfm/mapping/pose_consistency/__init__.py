"""Whether the poses of a model are right: features of registered images, and probabilities from them."""
