"""Parts of a model that little holds: whether they stand where they should, and where else they could."""
