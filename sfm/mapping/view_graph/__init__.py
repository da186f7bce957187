"""What pairs say of each other before there is a model: the view graph, and which of its pairs to doubt."""
