"""Words, and the pictures of a network with preprocessing of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from painted import lay_pictures, picture_file
from serving import in_process
from test_serve_search import same

import pretrained_models
from neuralcodes.collection.collection import Collection
from neuralcodes.serve.settings import Settings

pytest.importorskip("transformers", reason='needs "neuralcodes[hf]"')


def test_by_words_and_by_words_with_pictures(tmp_path: Path, settings: Settings) -> None:
    torch.manual_seed(0)
    model = pretrained_models.MAKERS["clip"](tmp_path / "model")
    with Collection.create(tmp_path / "made.nc", f"hf:{model}", device="cpu") as collection:
        collection.sync([lay_pictures(tmp_path / "pictures", 12)])
        with in_process(collection, settings) as client:
            assert client.get("/api/v1/collection").json()["text"] is True

            def ask(**query: object) -> object:
                return client.get("/api/v1/search", params={"k": 5, **query}).json()  # type: ignore[arg-type]

            same(ask(text="a red boat"), collection.search(k=5, text="a red boat"))
            same(ask(text="a tree", id=3), collection.search(3, 5, text="a tree"))
            assert ask(text="a red boat")["asked"][0]["kind"] == "text"  # type: ignore[index]
            new = picture_file(800)
            found = client.post("/api/v1/search?k=5", files={"file": ("x", new)}).json()
            same(found, collection.search(new, 5))
