"""`python3 tools/dist`: native artifacts for five platforms. See docs/operations/dist.md."""

import sys

from omnidist.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
