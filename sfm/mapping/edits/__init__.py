"""Models that become one, and parts that leave one because nothing says how large they are."""
