"""What global alignment needs of the network: pointmaps and correspondences of all directions of pairs."""
