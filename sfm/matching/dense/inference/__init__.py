"""Pairs of photos through the network: tokens, batches, windows, and what is kept of them."""
