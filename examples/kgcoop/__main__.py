"""`python -m examples.kgcoop`: KgCoOp with and without SAR."""

from pathlib import Path

from examples.kgcoop.method import KgCoOp
from examples.protocol.command import main

if __name__ == "__main__":
    main(KgCoOp, Path(__file__).with_name("recipe.toml"))
