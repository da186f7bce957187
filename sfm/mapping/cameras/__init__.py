"""What cameras are: focal lengths to start from, images that share a camera wrongly, parameters to free."""
