"""What can be read off a model: what photos see, how far off matches lie, how far it moved."""
