"""`python -m examples.coprompt`: CoPrompt with and without SAR."""

from pathlib import Path

from examples.coprompt.method import CoPrompt
from examples.protocol.command import main

if __name__ == "__main__":
    main(CoPrompt, Path(__file__).with_name("recipe.toml"))
