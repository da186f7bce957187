"""A model that is there already, which new photos are added to or located in."""
