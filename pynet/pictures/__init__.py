"""Decodes pictures and prepares them as network inputs, in the same way for training and prediction."""
