"""Every kind of odd photo gives the pixels that a viewer shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.protocol.data import open_folder
from examples.protocol.data.reading import ImageError, is_image, read_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.fixture
def grey() -> np.ndarray:
    """A ramp over the whole range of 16 bits."""
    return np.linspace(0, 65535, 24 * 20).reshape(20, 24).astype(np.uint16)


def pixels(path: Path) -> np.ndarray:
    image = read_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_to_eight(grey: np.ndarray, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"ramp.{ending}"
    Image.fromarray(grey).save(path)
    expected = np.repeat(np.round(grey / 257).astype(np.uint8)[:, :, None], 3, axis=2)
    assert np.array_equal(pixels(path), expected)


def test_floats_between_0_and_1(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert np.array_equal(pixels(tmp_path / "a.tif")[..., 0], np.round(values * 255).astype(np.uint8))


def test_numbers_without_an_agreed_white_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.arange(12, dtype=np.int32).reshape(3, 4) * 1000).save(tmp_path / "a.tif")
    with pytest.raises(
        ImageError, match=r"int32, 0 to 11000\) have no agreed black and white; save it with 8 or 16"
    ):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_photos_stand_upright(orientation: int, ending: str, tmp_path: Path) -> None:
    corners = Image.new("RGB", (24, 20), WHITE)
    corners.paste(RED, (0, 0, 8, 8))
    corners.paste(BLUE, (16, 12, 24, 20))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that the camera's turn amounts to
    turned = corners if orientation == 1 else corners.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if ending == "webp" else {}
    turned.save(tmp_path / f"a.{ending}", exif=exif, **options)
    assert np.array_equal(pixels(tmp_path / f"a.{ending}"), np.asarray(corners))


def test_a_turned_jpeg_with_sixteen_bit_and_transparent_kin(grey: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("CMYK", (24, 20), (255, 255, 0, 0)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").size == (20, 24)
    Image.fromarray(grey).save(tmp_path / "b.png", exif=exif)
    assert np.array_equal(
        pixels(tmp_path / "b.png")[..., 0], np.rot90(np.round(grey / 257).astype(np.uint8), -1)
    )


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    clear.putpixel((1, 0), (0, 0, 0, 0))
    for mode, ending in (("RGBA", "png"), ("LA", "png"), ("RGBA", "webp"), ("RGBA", "tif")):
        path = tmp_path / f"{mode}.{ending}"
        clear.convert(mode).save(path, **({"lossless": True} if ending == "webp" else {}))
        assert tuple(pixels(path)[0, 1]) == WHITE, path.name
    half = Image.new("RGBA", (1, 1), (0, 0, 0, 51))
    half.save(tmp_path / "half.png")
    assert tuple(pixels(tmp_path / "half.png")[0, 0]) == (204, 204, 204)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_one_colour_marked_as_transparent(mode: str, tmp_path: Path) -> None:
    picture = Image.new("RGB", (2, 1), RED)
    picture.putpixel((1, 0), BLUE)
    picture = picture.convert(mode, palette=Image.Palette.ADAPTIVE)
    picture.save(tmp_path / "a.png", transparency=picture.getpixel((1, 0)))
    left, right = pixels(tmp_path / "a.png")[0]
    assert tuple(right) == WHITE
    assert tuple(left) != WHITE


def test_cmyk(tmp_path: Path) -> None:
    for ink, colour in (((0, 255, 255, 0), RED), ((0, 0, 0, 0), WHITE), ((0, 0, 0, 255), (0, 0, 0))):
        Image.new("CMYK", (16, 16), ink).save(tmp_path / "a.jpg", quality=100)
        assert np.abs(pixels(tmp_path / "a.jpg").astype(int) - colour).max() <= 3


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_the_first_frame_of_an_animation(ending: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (GREEN, RED, BLUE)]
    options = {"lossless": True} if ending == "webp" else {}
    frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:], **options)
    with Image.open(tmp_path / f"a.{ending}") as image:
        assert image.n_frames == 3
    assert tuple(pixels(tmp_path / f"a.{ending}")[8, 8]) == GREEN


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "the file is empty"), (b"<html>", "not an image of a known kind")],
)
def test_files_that_are_not_images(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=reason):
        read_image(tmp_path / "a.jpg")


def test_a_cut_off_photo(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for ending in ("jpg", "png", "gif", "webp", "tif", "bmp"):
        path = tmp_path / f"a.{ending}"
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ImageError):
            read_image(path)


@pytest.mark.parametrize("name", ["a.jfif", "a.JPG", "a.gif", "a.Tiff", "a.mpo", "ä.webp"])
def test_endings_of_images(name: str) -> None:
    assert is_image(name)
    assert not is_image(f"{name}.txt")


def test_own_photos_are_read_this_way_and_the_benchmarks_are_not(grey: np.ndarray, tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(3):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(grey).save(tmp_path / name / f"{number}.png")
    dataset = open_folder(tmp_path)
    own = np.asarray(dataset.image(dataset.test[0]))
    assert np.array_equal(own, pixels(tmp_path / dataset.test[0].source))
    published = np.asarray(replace(dataset, own=False).image(dataset.test[0]))
    assert not np.array_equal(own, published), "as the benchmark's code reads it"
