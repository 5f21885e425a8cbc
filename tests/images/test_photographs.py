"""The package's own photographs are whole, small and of a known source."""

from __future__ import annotations

from PIL import Image

from neuralcodes.images.classfolders import class_folders
from neuralcodes.images.photographs import clothing_photographs


def test_a_hundred_photographs_in_ten_kinds() -> None:
    folder = clothing_photographs()
    images = class_folders(folder, (64, 64))
    assert len(images) == 100 and len(images.classes) == 10 and not images.bad
    assert "CC0" in (folder / "SOURCE.md").read_text(encoding="utf-8")
    files = sorted(folder.glob("*/*.jpg"))
    assert sum(file.stat().st_size for file in files) < 1_000_000
    for file in files:
        with Image.open(file) as image:
            assert max(image.size) <= 256 and image.mode == "RGB" and not image.getexif()
