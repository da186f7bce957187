"""What cameras are: focal lengths to start from, photos that share a camera wrongly, parameters to free."""
