"""The door for `python -m pynet.train`, which is `pynet train`."""

import sys

from pynet.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
