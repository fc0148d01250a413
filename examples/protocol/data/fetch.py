"""How to get a data set's files: what torchvision downloads, and in words what it cannot."""

from __future__ import annotations

from pathlib import Path

from torchvision import datasets

from examples.protocol.data.catalogue import CatalogueEntry
from sar_reg.cli.doctor import Finding

MIRROR = "zhengli97/prompt_learning_dataset"


def download(source: CatalogueEntry, root: Path) -> Finding:
    """Download the images with torchvision, into its own layout, which the loaders read as it is.

    One process at a time: torchvision locks nothing.
    """
    make = getattr(datasets, source.torchvision)
    root.mkdir(parents=True, exist_ok=True)
    try:
        make(str(root), download=True)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        return Finding(
            f"{source.key}: download",
            "failure",
            f"torchvision could not download it ({type(error).__name__}: {error})",
            images_advice(source, root),
        )
    return Finding(f"{source.key}: download", "ok", f"images downloaded by torchvision into {root}")


def images_advice(source: CatalogueEntry, root: Path) -> str:
    """Where the images come from and where they go, one way a line."""
    ways: list[str] = []
    if source.torchvision:
        ways.append(f"python -m examples.protocol.data prepare {source.key} --data {root}  (by torchvision)")
    if source.mirror:
        known = f"sha256 {source.mirror_sha256}" if source.mirror_sha256 else "its hash is not known to us"
        archive = root / source.mirror
        ways.append(
            f"hf download {MIRROR} {source.mirror} --local-dir {root} && unzip {archive} -d {root}  "
            f"(a mirror, with the split file; {known}; open no .pkl file from it)"
        )
    goal = source.home(root) / source.images[0]
    size = f"{source.gigabytes:.1f} GB, " if source.gigabytes else ""
    licence = f" ({source.licence})" if source.licence else ""
    ways.append(
        f"by hand from {source.origin} into {goal}; {size}the data set's own licence applies{licence}"
    )
    return "\nor: ".join(ways)


def split_advice(source: CatalogueEntry, root: Path) -> str:
    """Where the split file comes from and where it goes."""
    goal = source.home(root) / source.split
    if source.form == "aircraft":
        return f"put {goal.name} and the images_variant_*.txt of the original archive into {goal.parent}"
    mirror = f", or take it from the mirror's {source.mirror}" if source.form == "json" else ""
    return (
        f"save https://drive.google.com/file/d/{source.drive}/view (the benchmark authors') as {goal}{mirror}"
    )
