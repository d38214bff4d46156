"""What the frozen binary runs: the console script's entry point, and nothing before it."""

import sys

from sidecar.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
