"""How fast is pynet, and compared with what? `python -m bench --help`."""
