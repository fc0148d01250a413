"""`python -m examples.maple`: MaPLe with and without SAR."""

from pathlib import Path

from examples.maple.method import MaPLe
from examples.protocol.command import main

if __name__ == "__main__":
    main(MaPLe, Path(__file__).with_name("recipe.toml"))
