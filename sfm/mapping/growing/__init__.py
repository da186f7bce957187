"""One model, from its seed until no image can be added: whose turn it is, registering it, adjusting."""
