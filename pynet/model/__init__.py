"""The network over the C core, without its training."""
