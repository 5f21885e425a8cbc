"""Collections of a network that knows texts: searched by words, in agreement with the library."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pretrained_models
from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError

transformers = pytest.importorskip("transformers", reason='needs "neuralcodes[hf]"')

TEXTS = ("a red boat", "a photo of a house on water", "green tree")


@pytest.fixture(scope="module", params=["clip", "siglip"])
def model(request, tmp_path_factory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    return pretrained_models.MAKERS[request.param](folder)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Twenty parts of two photographs."""
    from sklearn.datasets import load_sample_images

    folder = tmp_path_factory.mktemp("photos")
    for name in map(Path, load_sample_images().filenames):
        with Image.open(name) as picture:
            for part in range(10):
                left, top = 50 * part, 20 * part
                cut = picture.crop((left, top, left + 150, top + 120 + 10 * part))
                cut.save(folder / f"{name.stem}{part}.png")
    return folder


@pytest.fixture
def collection(model: Path, photos: Path, tmp_path: Path):
    with Collection.create(tmp_path / "c", f"hf:{model}") as opened:
        opened.sync([photos])
        yield opened


def features(model: Path, photos: Path) -> tuple[list[Path], torch.Tensor, torch.Tensor]:
    """Names, image features and text features of the library's own, of unit length."""
    loaded = transformers.AutoModel.from_pretrained(model).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(model, backend="pil")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    names = sorted(photos.iterdir())
    pixels = processor(images=[Image.open(name) for name in names], return_tensors="pt")
    tokens = tokenizer(list(TEXTS), padding="max_length", max_length=12, return_tensors="pt")
    with torch.no_grad():
        images = loaded.get_image_features(**pixels).pooler_output
        texts = loaded.get_text_features(**tokens).pooler_output
    unit = torch.nn.functional.normalize
    return names, unit(images.double(), dim=1), unit(texts.double(), dim=1)


def test_the_ranking_is_that_of_the_librarys_cosine(collection, model, photos) -> None:
    names, images, texts = features(model, photos)
    orders = []
    for text, vector in zip(TEXTS, texts, strict=True):
        cosine = (images @ vector).numpy()
        found = collection.search(text=text, k=20)
        assert [Path(match.path) for match in found] == [names[i] for i in np.argsort(-cosine)]
        for match in found:  # of unit vectors: |a - b|² = 2 - 2 cos
            expected = np.sqrt(2 - 2 * cosine[names.index(Path(match.path))])
            assert match.distance == pytest.approx(expected, abs=1e-4)
        orders.append(tuple(match.path for match in found))
    assert len(set(orders)) > 1  # the words make a difference


def test_words_and_pictures_together(collection, model, photos) -> None:
    names, images, texts = features(model, photos)
    mean = (images[3] + texts[0]) / 2
    cosine = (images @ torch.nn.functional.normalize(mean, dim=0)).numpy()
    order = [i for i in np.argsort(-cosine) if i != 3]
    found = collection.search(names[3], text=TEXTS[0], k=19)
    assert [Path(match.path) for match in found] == [names[i] for i in order]
    assert "a red boat" in found.query and names[3].name in found.query
    several = collection.search(text=[TEXTS[0], TEXTS[1]], k=3)
    both = (images @ torch.nn.functional.normalize(texts[0] + texts[1], dim=0)).numpy()
    assert [Path(m.path) for m in several] == [names[i] for i in np.argsort(-both)[:3]]


def test_filters_and_sheets_go_with_words(collection) -> None:
    found = collection.search(text="a boat", filter='name ~ "flower*"', k=20)
    assert {Path(match.path).stem[:6] for match in found} == {"flower"}
    assert "“a boat”" in found.to_html()
    assert found.to_json()["query"] == "“a boat”"


def test_what_words_cannot_do(collection, photos) -> None:
    for text, said in ((" ", "say what to search for"), ("a boat " * 12, "longer than 12 tokens")):
        with pytest.raises(UserError, match=said):
            collection.search(text=text)
    with pytest.raises(UserError, match="nothing to search by"):
        collection.search()
    with pytest.raises(UserError, match="--crop goes with one picture"):
        collection.search(text="a boat", crop=(0, 0, 9, 9))


def test_a_network_without_words(tmp_path: Path, pictures: Path, code: str) -> None:
    with Collection.create(tmp_path / "c", code) as opened:
        opened.sync([pictures])
        assert not opened.has_text
        with pytest.raises(UserError, match="knows no texts; networks that do are CLIP and SigLIP"):
            opened.search(text="a red boat")


def test_a_collection_keeps_its_network(model, photos, tmp_path, monkeypatch) -> None:
    """Made by a relative path, searched from elsewhere; the network moved; another in its place."""
    shutil.copytree(model, tmp_path / "here/model")
    monkeypatch.chdir(tmp_path / "here")
    with Collection.create(tmp_path / "c", "hf:./model") as opened:
        opened.sync([photos])
        first = [match.path for match in opened.search(text="a red boat")]
    monkeypatch.chdir(tmp_path)
    with Collection.open(tmp_path / "c") as opened:
        assert opened.has_text
        assert [match.path for match in opened.search(text="a red boat")] == first
    (tmp_path / "here/model").rename(tmp_path / "moved")
    with (
        Collection.open(tmp_path / "c") as opened,
        pytest.raises(UserError, match="no longer there; say where it is now: --code"),
    ):
        opened.search(text="a red boat")
    with Collection.open(tmp_path / "c", code=f"hf:{tmp_path}/moved") as opened:
        assert [match.path for match in opened.search(text="a red boat")] == first
    other = pretrained_models.vit(tmp_path / "other")
    with pytest.raises(UserError, match="made with other weights or another code"):
        Collection.open(tmp_path / "c", code=f"hf:{other}")


def test_the_commit_is_kept_in_the_collection(model, photos, tmp_path, monkeypatch) -> None:
    """The hub's cache as after a download, no network: `main` moves on, the collection does not."""
    from huggingface_hub import constants

    commits = ("0" * 39 + "1", "0" * 39 + "2")
    repository = tmp_path / "hub/models--someone--clip"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(commits[0])
    shutil.copytree(model, repository / "snapshots" / commits[0])
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with Collection.create(tmp_path / "c", "hf:someone/clip") as opened:
        opened.sync([photos])
        assert opened.spec.name == f"hf:someone/clip#{commits[0]}@image_embeds"
        first = [match.path for match in opened.search(text="a red boat")]
    torch.manual_seed(1)
    pretrained_models.MAKERS[_kind(model)](repository / "snapshots" / commits[1])
    (repository / "refs/main").write_text(commits[1])
    with Collection.open(tmp_path / "c") as opened:
        assert [match.path for match in opened.search(text="a red boat")] == first
    with pytest.raises(UserError, match="made with other weights"):
        Collection.open(tmp_path / "c", code="hf:someone/clip")


def _kind(model: Path) -> str:
    return "siglip" if "Siglip" in (model / "config.json").read_text() else "clip"


def test_a_probability_measured_with_pictures_is_not_shown_for_words(
    collection: Collection,
) -> None:
    collection.calibrate_distances(views=True, queries=20, depth=3)
    by_picture, by_words = collection.search("id:1", 3), collection.search(text=TEXTS[0], k=3)
    assert all(match.probability is not None for match in by_picture) and by_picture.means
    assert all(match.probability is None for match in by_words) and not by_words.means
    both = collection.search("id:1", 3, text=TEXTS[0])
    assert all(match.probability is None for match in both)
