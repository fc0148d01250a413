"""`python -m sar_reg`."""

from __future__ import annotations

import sys

from sar_reg.cli import main

if __name__ == "__main__":
    sys.exit(main())
