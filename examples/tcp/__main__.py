"""`python -m examples.tcp`: TCP with and without SAR."""

from pathlib import Path

from examples.protocol.command import main
from examples.tcp.method import TCP

if __name__ == "__main__":
    main(TCP, Path(__file__).with_name("recipe.toml"))
