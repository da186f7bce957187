"""Large collections: overlapping parts of the view graph, mapped side by side in processes, then joined."""
