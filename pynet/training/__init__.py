"""Training: the loop over epochs, what may look in and end it, and what is told of it."""
