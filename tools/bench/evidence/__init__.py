"""How likely pairs and photos are right: labelled collections, the fit of the models, their validation."""
