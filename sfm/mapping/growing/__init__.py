"""One model, from its seed until no photo can be added: whose turn it is, registering it, adjusting."""
