"""Training: the loop over epochs, callbacks, checkpoints, history, diagnosis."""
