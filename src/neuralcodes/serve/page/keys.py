"""The one table of keys: the page's help shows it, and its script makes the handlers from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Key:
    """A key and what it does.

    Attributes:
        keys: as `KeyboardEvent.key` names them; any of them does it.
        shown: on the page.
        what: in words.
        do: for `page.js`: "click SELECTOR", "focus SELECTOR", "hit SELECTOR" (in the result that
            has the focus, else the first), "move LEFT|RIGHT|UP|DOWN|FIRST|LAST", "tick",
            "map WHAT".
        where: pages that have it; empty for all.
        several: only where several collections are served.
    """

    keys: tuple[str, ...]
    shown: str
    what: str
    do: str
    where: frozenset[str] = frozenset()
    several: bool = False


def _on(*pages: str) -> frozenset[str]:
    return frozenset(pages)


GRID = _on("search")
KEYS = (
    Key(("?",), "?", "this list of keys", "click #show-keys"),
    Key(("v",), "V", "the same by the next code", "click #next-code", several=True),
    Key(("o",), "O", "choose a picture to search by (or drop or paste one)", "click #choose",
        GRID),
    Key(("/",), "/", "write a filter", "focus #filter", GRID),
    Key(("ArrowRight",), "→", "next result", "move RIGHT", GRID),
    Key(("ArrowLeft",), "←", "previous result", "move LEFT", GRID),
    Key(("ArrowDown",), "↓", "result below", "move DOWN", GRID),
    Key(("ArrowUp",), "↑", "result above", "move UP", GRID),
    Key(("s",), "S or Enter", "search by this result", "hit .hit", GRID),
    Key(("a",), "A", "add it to what is searched by", "hit .add", GRID),
    Key(("n",), "N", "not like this one", "hit .unlike", GRID),
    Key(("w",), "W", "why did it match?", "hit .why", GRID),
    Key(("d",), "D", "its details", "hit .details", GRID),
    Key(("c",), "C", "search by a part of the picture", "click #crop-link",
        _on("search", "image")),
    Key(("]",), "]", "next page or group", "click #next",
        _on("search", "group", "duplicates", "collection")),
    Key(("[",), "[", "previous page or group", "click #previous",
        _on("search", "group", "duplicates", "collection")),
    Key(("1", "2", "3", "4", "5", "6", "7", "8", "9"), "1 to 9", "keep or let go this picture",
        "tick", _on("group")),
    Key(("k",), "K", "keep what is ticked, let the rest go", "click #choose-keep", _on("group")),
    Key(("s",), "S", "skip: decide later", "click #choose-skip", _on("group")),
    Key(("x",), "X", "not the same pictures", "click #choose-different", _on("group")),
    Key(("u",), "U", "undo the last choice", "click #undo", _on("group", "duplicates")),
    Key(("+", "="), "+", "nearer", "map in", _on("map")),
    Key(("-",), "−", "farther", "map out", _on("map")),
    Key(("0",), "0", "whole map", "map fit", _on("map")),
    Key(("ArrowLeft",), "←", "move left", "map left", _on("map")),
    Key(("ArrowRight",), "→", "move right", "map right", _on("map")),
    Key(("ArrowUp",), "↑", "move up", "map up", _on("map")),
    Key(("ArrowDown",), "↓", "move down", "map down", _on("map")),
    Key(("b",), "B", "back to the results", "click #back", _on("image", "why", "crop")),
)  # fmt: skip


def keys_of(page: str, several: bool = False) -> list[Key]:
    """Those that a page has."""
    return [
        key for key in KEYS if (not key.where or page in key.where) and (several or not key.several)
    ]
