"""Use the installed package without its optional dependencies: import, bank, loss, WordNet words, missing extra."""

import importlib.util
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Fail with the first thing that does not work."""
    import torch

    import sar_reg
    from sar_reg.errors import MissingExtraError, require
    from sar_reg.novel import WordNetClasses

    names = tuple(f"class {i}" for i in range(40))
    bank = sar_reg.AnchorBank(names, 30, torch.nn.functional.normalize(torch.randn(40, 32), dim=1), 0.01)
    with tempfile.TemporaryDirectory() as folder:
        bank.save(Path(folder, "bank.safetensors"))
        bank = sar_reg.AnchorBank.load(Path(folder, "bank.safetensors"))
    features = torch.randn(40, 32, requires_grad=True)
    loss = sar_reg.SimilarityAlignmentLoss(bank, sample_size=16)(features)
    loss.backward()
    assert loss.item() > 0
    assert bool(features.grad.abs().sum() > 0)

    words = WordNetClasses().generate(["tabby cat", "beagle"], 5, exclude=[], seed=0)
    assert len(words) == 5, words

    message = ""
    try:
        require("openai", extra="llm")
    except MissingExtraError as error:
        message = str(error)
    assert "[llm]" in message, message
    print(f"sar_reg {sar_reg.__version__}: import, bank, loss forward and backward, WordNet words: all well")


if __name__ == "__main__":
    sys.modules["triton"] = None  # torch's own wheel brings triton; the package has to work without it
    optional = ["open_clip", "nltk", "openai", "transformers", "torchvision", "jaxtyping"]
    installed = [name for name in optional if importlib.util.find_spec(name)]
    assert not installed, f"this check needs an environment without optional packages; found {installed}"
    main()
