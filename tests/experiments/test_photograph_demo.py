"""The demo's photographs: indexed with the shipped network, found better than by chance."""

import re

import pytest

from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError
from neuralcodes.experiments.photographs import SHOWN, search_photographs


def test_photographs_are_indexed_and_shown(tmp_path):
    made = search_photographs(tmp_path)
    assert made.images == 100
    # nine of 99 are of the query's kind: a random order would give about 0.13
    assert made.score.interval()[0] > 0.16
    page = made.sheet.read_text(encoding="utf-8")
    assert page.count("<figure") == 10 * (SHOWN + 1)
    assert page.count('src="data:image/jpeg') == 10 * (SHOWN + 1)
    assert not re.search(r'(src|href)="(?!data:)', page)
    with Collection.open(made.collection) as collection:
        assert len(collection) == 100 and collection.spec.name == "shipped@code"
    assert search_photographs(tmp_path).score.mean == pytest.approx(made.score.mean, abs=1e-6)


def test_it_does_not_delete_what_is_no_collection(tmp_path):
    (tmp_path / "collection").mkdir()
    (tmp_path / "collection" / "mine.txt").write_text("keep")
    with pytest.raises(UserError):
        search_photographs(tmp_path)
    assert (tmp_path / "collection" / "mine.txt").read_text() == "keep"
