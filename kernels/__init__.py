"""Array in, array out: the numerical inner loops, which know nothing of images or files."""
