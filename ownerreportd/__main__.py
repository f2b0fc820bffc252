"""The program: `python -m ownerreportd`, and the script `ownerreportd`."""

from __future__ import annotations

import sys

from ownerreportd.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
