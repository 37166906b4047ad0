"""Numbers in sentences."""

import re
from pathlib import Path

import pytest

import itn
from itn.runtime.wording import counted


def test_one_is_not_many():
    assert [counted(n, "image") for n in (0, 1, 2, 2000)] == [
        "0 images",
        "1 image",
        "2 images",
        "2,000 images",
    ]
    assert [counted(n, "pass", "passes") for n in (1, 2)] == ["1 pass", "2 passes"]


def test_no_message_counts_images_by_itself():
    sources = {path: path.read_text() for path in Path(itn.__file__).parent.rglob("*.py")}
    counts = re.compile(r"(n|len\([a-z_]+\)|images)(:,)?\} (held-out )?(images|channels|rows|passes)\b")
    assert not [str(path) for path, source in sources.items() if counts.search(source)]


def test_a_screen_of_one_image_says_so(brightness, flats):
    images, labels = (part[:1] for part in flats)
    config = {"transforms": ("brightness",), "magnitudes": {"brightness": (0.5,)}, "bisections": 0}
    sweep = itn.screen(brightness, images, labels, config)
    assert "1 image;" in str(sweep)
    assert "1 images" not in str(sweep)
    with pytest.raises(ValueError, match="1 image is too few"):
        itn.learn(brightness, images, labels)
