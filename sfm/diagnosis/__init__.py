"""How well each photo of a finished model is held, and which are probably at a wrong place."""
