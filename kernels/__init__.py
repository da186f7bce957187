"""Array in, array out: the numerical inner loops, free of images and files."""
