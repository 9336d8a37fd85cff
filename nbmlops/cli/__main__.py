"""``python -m nbmlops.cli``."""

import sys

from nbmlops.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
