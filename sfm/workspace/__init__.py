"""What a run keeps in its output folder: markers, events, caches, locks."""
