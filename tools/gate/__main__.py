"""`python3 tools/gate`: the gate report. See docs/operations/gate.md."""

import sys

from omnigate.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
