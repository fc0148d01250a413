"""`python -m examples.coop`: CoOp with and without SAR."""

from pathlib import Path

from examples.coop.method import CoOp
from examples.protocol.command import main

if __name__ == "__main__":
    main(CoOp, Path(__file__).with_name("recipe.toml"))
