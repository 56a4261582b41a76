"""Models in file formats of other programs."""
