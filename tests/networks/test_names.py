"""Names of networks, taken apart and made absolute."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from neuralcodes.common.errors import UserError
from neuralcodes.networks.names import absolute_name, parse_pretrained, path_of, source_of
from neuralcodes.networks.opened import open_network


@pytest.mark.parametrize(
    ("name", "place", "revision"),
    [
        ("hf:facebook/dinov2-small", "facebook/dinov2-small", None),
        ("hf:facebook/dinov2-small#v1", "facebook/dinov2-small", "v1"),
        ("timm:resnet50.a1_in1k", "resnet50.a1_in1k", None),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "ViT-B-32/laion2b_s34b_b79k", None),
    ],
)
def test_repositories(name: str, place: str, revision: str | None) -> None:
    parsed = parse_pretrained(name)
    assert (parsed.place, parsed.revision, parsed.folder) == (place, revision, None)
    assert parsed.written == name
    assert path_of(name) is None
    assert absolute_name(name) == name


def test_local_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name in ("hf:./mine", f"hf:{tmp_path}/mine", "hf:./mine/../mine"):
        assert absolute_name(name) == f"hf:{tmp_path}/mine"
    assert absolute_name("mine") == str(tmp_path / "mine")
    # without a dot it is a repository, whatever lies here
    assert parse_pretrained("hf:mine").folder is None
    assert path_of("hf:./absent") == Path("absent")
    assert absolute_name("hf:./absent") == "hf:./absent"


def test_the_word_shipped_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shipped").mkdir()
    assert absolute_name("shipped") == "shipped"
    assert absolute_name("./shipped") == str(tmp_path / "shipped")


def test_what_is_no_pretrained_network() -> None:
    assert [source_of(name) for name in ("runs/mine", "hf", "C:/weights", "other:x")] == [None] * 4
    with pytest.raises(UserError, match="names of pretrained networks begin with hf:, timm:, open"):
        open_network("other:x")


@pytest.mark.parametrize(("source", "package"), [("hf", "transformers"), ("timm", "timm")])
def test_the_extra_is_named_where_it_is_missing(
    source: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf'pip install "neuralcodes\[{source}\]"'):
        open_network(f"{source}:{tmp_path}")


def test_a_library_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As torchvision beside a torch of another release."""
    (tmp_path / "open_clip.py").write_text("raise RuntimeError('operator nms does not exist')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "open_clip", raising=False)
    with pytest.raises(UserError, match=r"installed and cannot be imported .*operator nms"):
        open_network(f"open_clip:{tmp_path}")


def test_nothing_heavy_is_imported_for_a_name() -> None:
    code = (
        "import sys; from neuralcodes.networks import names; names.source_of('hf:x');"
        "names.carries_weights(); from neuralcodes.networks.registry import network_names;"
        "network_names(); assert not {'transformers', 'timm', 'open_clip', 'huggingface_hub'}"
        " & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
