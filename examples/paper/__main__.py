"""`python -m examples.paper`: the paper's tables and figures."""

from examples.protocol.cli.errors import one_line_errors

if __name__ == "__main__":
    with one_line_errors():  # also of the imports, which need the examples' packages
        from examples.paper.command import main

        main()
