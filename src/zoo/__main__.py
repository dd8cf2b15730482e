"""`python -m zoo VERB` is `zoo VERB`."""

import sys

from zoo.cli import main

if __name__ == "__main__":
    sys.exit(main())
