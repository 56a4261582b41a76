"""The commands of `pynet`, one a file, and what they share."""
