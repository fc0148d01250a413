"""`python -m examples.coop`: CoOp with and without SAR."""

from pathlib import Path

from examples.protocol.cli.errors import one_line_errors

if __name__ == "__main__":
    with one_line_errors():  # also for the imports, which need optional packages
        from examples.coop.method import CoOp
        from examples.protocol.cli.command import main

        main(CoOp, Path(__file__).with_name("recipe.toml"))
