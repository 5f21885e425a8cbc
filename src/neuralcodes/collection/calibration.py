"""How near is a duplicate? The distance is measured on the collection's own pictures.

Altered copies of some of them (compressed, made smaller, cut a little, made darker or lighter) say
how far apart pictures lie that people call the same; pairs of different contents say how far apart
others lie. The threshold lets few of these through and then as many altered copies as may be.

A collection has duplicates of its own, which are no false matches. The nearest pairs are therefore
looked at: where small grey versions of the two pictures agree, they are one picture.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageOps

from neuralcodes.collection.coding import Coder
from neuralcodes.collection.pictures import Pictures
from neuralcodes.collection.snapshot import Floats, Snapshot
from neuralcodes.collection.store import Connection
from neuralcodes.common.errors import UserError
from neuralcodes.common.intervals import wilson_interval
from neuralcodes.common.progress import progress
from neuralcodes.images.decode import decode
from neuralcodes.images.imageset import Pixels

FOUND = 0.95  # share of altered copies to be found, where that lets no more false matches through
FALSE = 1e-5  # share of different pairs that may be called duplicates
SAMPLE = 300  # pictures altered
TOGETHER = 40  # of these at a time
OTHERS = 3000  # contents whose pairs are compared: 4.5 million pairs
LOOKED_AT = 20_000  # nearest pairs whose pictures are compared, at most
GREY = 16  # side of the small grey pictures
EQUAL = 2  # of 255, difference of these up to which two pictures look equal
AGREE = 0.9  # correlation from which they are one picture
LARGEST = 1024  # pixels; larger pictures are altered at this size


@dataclass(frozen=True)
class Calibration:
    """A threshold for near-duplicates and what it does.

    Attributes:
        threshold: distance up to which two pictures are called duplicates.
        found: share of altered copies within it.
        false_rate: share of pairs of different pictures within it; an upper estimate where there
            are more near pairs than could be looked at.
        false_rate_high: upper end of its 95 % interval.
        false_pairs: pairs of this collection that this rate lets expect.
        pairs: pairs of different pictures that were compared.
        same_pairs: near pairs found to be one picture, left out of these.
        images: pictures that were altered.
        alterations: median and 95th percentile of the distance, by kind of alteration.
        contents: the collection had so many.
    """

    threshold: float
    found: float
    false_rate: float
    false_rate_high: float
    false_pairs: float
    pairs: int
    same_pairs: int
    images: int
    alterations: dict[str, list[float]]
    contents: int

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


Alteration = Callable[[Image.Image], Image.Image]


def alterations(flip: bool) -> dict[str, Alteration]:
    """What people do to a picture that leaves it the same to them."""
    kinds: dict[str, Alteration] = {
        "JPEG of quality 40": _compress,
        "60 % of the size": lambda p: p.resize(_part(p, 0.6), Image.Resampling.BICUBIC),
        "cut by 5 % a side": _cut,
        "20 % darker": lambda p: ImageEnhance.Brightness(p).enhance(0.8),
        "20 % lighter": lambda p: ImageEnhance.Brightness(p).enhance(1.2),
    }
    if flip:
        kinds["mirrored"] = ImageOps.mirror
    return kinds


def calibrate(
    connection: Connection,
    snapshot: Snapshot,
    coder: Coder,
    pictures: Pictures,
    flip: bool = False,
    seed: int = 0,
) -> Calibration:
    """Measure the threshold on this collection.

    Args:
        connection: to the collection.
        snapshot: its codes.
        coder: its network.
        pictures: its files.
        flip: whether a mirrored picture is the same.
        seed: of the sample.

    Raises:
        UserError: fewer than 10 pictures can be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd files
        return _measure(connection, snapshot, coder, pictures, flip, np.random.default_rng(seed))


def _measure(
    connection: Connection,
    snapshot: Snapshot,
    coder: Coder,
    pictures: Pictures,
    flip: bool,
    generator: np.random.Generator,
) -> Calibration:
    alive = snapshot.alive
    same = _altered_distances(connection, snapshot, coder, pictures, flip, generator)
    few = np.sort(generator.choice(alive, min(OTHERS, len(alive)), replace=False))
    everything = np.concatenate(list(same.values()))
    threshold = float(np.quantile(everything, FOUND))
    others, rows = pair_distances(snapshot.vectors(few))
    near = np.flatnonzero(others <= threshold)
    near = near[np.argsort(others[near], kind="stable")[:LOOKED_AT]]
    look = Look(connection, pictures, flip)
    real, other, allowed = [], 0, int(FALSE * len(others))
    for pair in near.tolist():
        if look.same(*few[rows[pair]].tolist()):
            real.append(pair)
        elif (other := other + 1) > allowed:
            break
    others = np.delete(others, real)
    if len(others) > allowed:
        # just below the first different pair too many
        limit = float(np.partition(others, allowed)[allowed])
        threshold = min(threshold, float(np.nextafter(np.float32(limit), np.float32(0))))
    false = int((others <= threshold).sum())
    rate = false / max(1, len(others))
    return Calibration(
        threshold=threshold,
        found=float((everything <= threshold).mean()),
        false_rate=rate,
        false_rate_high=wilson_interval(rate, len(others))[1] if len(others) else 1.0,
        false_pairs=rate * len(alive) * (len(alive) - 1) / 2,
        pairs=len(others),
        same_pairs=len(real),
        images=len(everything) // len(same),
        alterations={
            name: [float(np.median(values)), float(np.quantile(values, 0.95))]
            for name, values in same.items()
        },
        contents=len(alive),
    )


def pair_distances(codes: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Distances of all pairs of codes that are not zero, float32 p, and their rows, int64 p×2."""
    own = np.flatnonzero(codes.any(axis=1))
    codes = codes[own]
    first, second = np.triu_indices(len(codes), 1)
    distances = np.empty(len(first), dtype=np.float32)
    start = 0
    for row in range(len(codes) - 1):
        difference = codes[row + 1 :] - codes[row]
        end = start + len(difference)
        distances[start:end] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
        start = end
    return distances, own[np.stack([first, second], axis=1)]


class Look:
    """Whether two contents are one picture, by small grey versions of them."""

    def __init__(self, connection: Connection, pictures: Pictures, flip: bool) -> None:
        self._connection, self._pictures, self._flip = connection, pictures, flip
        self._seen: dict[int, Floats | None] = {}

    def same(self, one: int, other: int) -> bool:
        """Of two codes' ids. What cannot be read is not the same."""
        a, b = self._grey(one), self._grey(other)
        if a is None or b is None:
            return False
        return _alike(a, b) or (self._flip and _alike(a, b[:, ::-1]))

    def _grey(self, code: int) -> Floats | None:
        """float32 16×16, 0 to 255."""
        if code not in self._seen:
            picture = picture_of(self._connection, self._pictures, code)
            grey = None
            if picture is not None:
                small = picture.convert("L").resize((GREY, GREY), Image.Resampling.BOX)
                grey = np.asarray(small, dtype=np.float32)
            self._seen[code] = grey
        return self._seen[code]


def _alike(one: Floats, other: Floats) -> bool:
    if float(np.abs(one - other).max()) <= EQUAL:  # as two blank pages, which have no pattern
        return True
    one, other = one - one.mean(), other - other.mean()
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return lengths > 0 and float((one * other).sum()) >= AGREE * lengths


def _altered_distances(
    connection: Connection,
    snapshot: Snapshot,
    coder: Coder,
    pictures: Pictures,
    flip: bool,
    generator: np.random.Generator,
) -> dict[str, Floats]:
    kinds = alterations(flip)
    pre = coder.spec.preprocessing
    distances: dict[str, list[Floats]] = {name: [] for name in kinds}
    order = generator.permutation(snapshot.alive)[: 3 * SAMPLE].tolist()
    used = 0
    with progress(min(SAMPLE, len(order)), "calibrating") as bar:
        while order and used < SAMPLE:
            owns: list[Floats] = []
            pixels: list[Pixels] = []
            while order and len(owns) < min(TOGETHER, SAMPLE - used):
                code = order.pop()
                own = snapshot.vectors(np.array([code]))[0]
                picture = picture_of(connection, pictures, code) if own.any() else None
                if picture is None:
                    continue
                owns.append(own)
                pixels += [
                    decode(file_of(alter(picture)), pre.size, pre.resize)
                    for alter in kinds.values()
                ]
                bar.update()
            if owns:
                codes = coder.encode(np.stack(pixels))
                codes = codes.reshape(len(owns), len(kinds), -1)
                apart = np.linalg.norm(codes - np.stack(owns)[:, None], axis=2)
                for column, name in enumerate(kinds):
                    distances[name].append(apart[:, column])
            used += len(owns)
    if used < 10:
        raise UserError(
            f"{connection.path}: only {used} pictures can be read to measure a threshold on; "
            "give one: --threshold DISTANCE"
        )
    return {name: np.concatenate(parts) for name, parts in distances.items()}


def picture_of(connection: Connection, pictures: Pictures, code: int) -> Image.Image | None:
    """A content's picture, RGB, at most 1,024 pixels wide and high; None if no file gives it."""
    for place, member in connection.query(
        "SELECT place, member FROM images WHERE code = ? LIMIT 3", (code,)
    ):
        with suppress(OSError, ValueError):
            return pictures.decoding.picture(pictures.read(place, member), LARGEST)
    return None


def _part(picture: Image.Image, share: float) -> tuple[int, int]:
    return max(1, round(picture.width * share)), max(1, round(picture.height * share))


def _cut(picture: Image.Image) -> Image.Image:
    left, top = round(picture.width * 0.05), round(picture.height * 0.05)
    return picture.crop((left, top, max(left + 1, picture.width - left),
                         max(top + 1, picture.height - top)))  # fmt: skip


def _compress(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=40)
    return Image.open(file)


def file_of(picture: Image.Image) -> bytes:
    """A picture as a file, without loss."""
    file = io.BytesIO()
    picture.convert("RGB").save(file, "BMP")  # nothing lost, and no time for packing
    return file.getvalue()
