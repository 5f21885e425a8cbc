"""Oxford5k and Paris6k: 55 queries with boxes each; good and ok are relevant, junk is ignored.

Files, in one folder: for each query `NAME_query.txt` (image and box, in Oxford with `oxc1_` before
the image's name), `NAME_good.txt`, `NAME_ok.txt`, `NAME_junk.txt`. The database is all images
that have codes; Oxford105k and Paris106k are the same with Flickr100k's as distractors. The
query's own image stands in its good list and counts, as in the published evaluation.

Sources: Philbin et al., CVPR 2007 and CVPR 2008.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.measures import OXFORD_AVERAGE_PRECISION
from neuralcodes.evaluation.protocols.groundtruth import GroundTruth, Lists, Query
from neuralcodes.evaluation.protocols.registry import register
from neuralcodes.evaluation.protocols.textfiles import read_lines, require_different

FILES = "the folder of the official ground truth (NAME_query.txt, _good.txt, _ok.txt, _junk.txt)"
PREFIX = "oxc1_"
ENDING = "_query.txt"


@register("oxford5k", "Oxford Buildings, 55 queries with boxes", files=FILES)
def read_oxford(path: Path | None, keys: Sequence[str]) -> GroundTruth:
    """Oxford's files."""
    return _read("oxford5k", path)


@register("paris6k", "Paris, 55 queries with boxes", files=FILES)
def read_paris(path: Path | None, keys: Sequence[str]) -> GroundTruth:
    """Paris's files."""
    return _read("paris6k", path)


def _read(protocol: str, path: Path | None) -> GroundTruth:
    assert path is not None  # the registry asks for it
    names = sorted(file.name.removesuffix(ENDING) for file in path.glob("*" + ENDING))
    if not names:
        raise UserError(f"{path}: holds no *{ENDING} files; {protocol} needs {FILES}")
    queries, relevant, junk = [], [], []
    for name in names:
        queries.append(_query(path / (name + ENDING), name))
        good, ok, bad = (read_lines(path / f"{name}_{kind}.txt") for kind in ("good", "ok", "junk"))
        require_different([*good, *ok, *bad], f"{path / name}_good.txt, _ok.txt and _junk.txt")
        relevant.append((*good, *ok))
        junk.append(tuple(bad))
    return GroundTruth(
        protocol=protocol,
        queries=tuple(queries),
        database=None,
        tasks={"": Lists(tuple(relevant), tuple(junk))},
        own_image_counts=True,
        measures=(OXFORD_AVERAGE_PRECISION,),
    )


def _query(file: Path, name: str) -> Query:
    words = " ".join(read_lines(file)).split()
    try:
        image, (left, top, right, bottom) = words[0], (float(word) for word in words[1:])
    except (ValueError, IndexError):
        raise UserError(
            f"{file}: should be an image's name and the four numbers of a box"
        ) from None
    return Query(name, image.removeprefix(PREFIX), (left, top, right, bottom))
