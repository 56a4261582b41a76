"""Benchmarks of pynet and of other libraries: `python -m bench --help`."""
