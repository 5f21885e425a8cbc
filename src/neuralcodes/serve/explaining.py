"""`Reasons`: why a result matches what was searched by, from pixels that the decoders made."""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from neuralcodes.collection.collection import Collection
from neuralcodes.collection.results import ImageRecord
from neuralcodes.collection.snapshot import Floats
from neuralcodes.common.errors import UserError
from neuralcodes.images.resizing import is_exact
from neuralcodes.serve import models
from neuralcodes.serve.batching import Batcher
from neuralcodes.serve.errors import BusyError, RefusedError
from neuralcodes.serve.pictures import Recent, ServedPictures

if TYPE_CHECKING:
    from neuralcodes.codes.explaining import Explainer, Explanation, Side

SHOWN = 384  # pixels of a heat map's longer side
AT_ONCE = 2
PATIENCE = 5.0  # seconds that a third one waits
MOST = 8  # pictures searched by together: each goes through the network forth and back
REMEMBERED = 48  # pairs: a page asks for each of its pictures

Query = ImageRecord | str
"""An image of the collection, or an upload by its id."""


@dataclass(frozen=True)
class Made:
    """Why an image matches all that was searched by.

    Searched by n pictures, the code that is compared is their mean, made of unit length; so the
    similarity is a sum over them: each one's own similarity times `weight`.

    Attributes:
        pairs: each one with the image.
        weight: 1 / length of the sum of the codes.
        similarity, distance: of the code that was compared.
        image: the image's side of all together.
    """

    pairs: tuple[Explanation, ...]
    weight: float
    similarity: float
    distance: float
    image: Side


class Reasons:
    """Explains results; pairs explained last are remembered.

    Args:
        code_of: an image's or upload's code, or that of a part of it.
    """

    def __init__(
        self,
        collection: Collection,
        pictures: ServedPictures,
        batcher: Batcher,
        code_of: Callable[[Query, models.Crop | None], Floats],
    ) -> None:
        self._collection = collection
        self._pictures = pictures
        self._batcher = batcher
        self._code_of = code_of
        self._explainer: Explainer | None = None
        self._pairs: Recent[Explanation] = Recent(REMEMBERED)
        self._room = threading.BoundedSemaphore(AT_ONCE)

    def explain(
        self, queries: Sequence[Query], image: ImageRecord, crop: models.Crop | None
    ) -> models.Explanation:
        """In figures.

        Args:
            queries: what was searched by.
            image: the result.
            crop: the part of the (one) query that was searched by.

        Raises:
            RefusedError: the code cannot be seen through, a picture cannot be had, too many, or a
                crop of several.
        """
        made = self._explain(queries, image, crop)
        known = self._collection.probability
        first = made.pairs[0]
        return models.Explanation(
            similarity=round(made.similarity, 6),
            distance=round(made.distance, 6),
            probability=None if known is None else float(known.of(made.distance)),
            code=first.code,
            layer=first.layer,
            note=first.note,
            exact=all(one.exact for one in made.pairs),
            rows=first.result.parts.shape[0],
            columns=first.result.parts.shape[1],
            queries=[
                models.ExplainedQuery(
                    id=None if isinstance(query, str) else query.id,
                    upload=query if isinstance(query, str) else None,
                    similarity=round(pair.similarity, 6),
                    weight=round(made.weight, 6),
                    map=_rounded(pair.query.parts),
                    rest=round(pair.query.rest, 6),
                )
                for query, pair in zip(queries, made.pairs, strict=True)
            ],
            image=_rounded(made.image.parts),
            rest_image=round(made.image.rest, 6),
        )

    def picture(
        self,
        queries: Sequence[Query],
        image: ImageRecord,
        crop: models.Crop | None,
        side: Literal["query", "image"],
        which: int = 0,
    ) -> bytes:
        """The image, or one of the queries, under its heat map, JPEG; raises as `explain`."""
        from neuralcodes.reports.explanation import heated

        if not 0 <= which < max(1, len(queries)):
            raise RefusedError(f"which: there are {len(queries)} pictures, from 0 on")
        made = self._explain(queries, image, crop)
        shown = made.pairs[which].query if side == "query" else made.image
        file = io.BytesIO()
        Image.fromarray((heated(shown) * 255).round().astype(np.uint8)).save(
            file, "JPEG", quality=85
        )
        return file.getvalue()

    def _explain(
        self, queries: Sequence[Query], image: ImageRecord, crop: models.Crop | None
    ) -> Made:
        if not queries:
            raise RefusedError("give by (an image's id) or upload, one or several")
        if len(queries) > MOST:
            raise RefusedError(f"at most {MOST} pictures can be explained together")
        if crop is not None and len(queries) > 1:
            raise RefusedError("crop goes with one picture, not with several")
        pairs: list[Explanation] = []
        for query in queries:  # all at the layer of the first, so that their maps can be added
            pairs.append(self._pair(query, image, crop, pairs[0].layer if pairs else None))
        first = pairs[0]
        if len(pairs) == 1:
            return Made((first,), 1.0, first.similarity, first.distance, first.result)
        codes = np.stack([self._code_of(query, None) for query in queries]).astype(np.float64)
        weight = 1 / max(float(np.linalg.norm(codes.sum(axis=0))), 1e-12)
        similarity = weight * sum(pair.similarity for pair in pairs)
        parts = (weight * np.sum([pair.result.parts for pair in pairs], axis=0)).astype(np.float32)
        together = replace(
            first.result, parts=parts, rest=weight * sum(pair.result.rest for pair in pairs)
        )
        distance = math.sqrt(max(0.0, 2 - 2 * similarity))
        return Made(tuple(pairs), weight, similarity, distance, together)

    def _pair(
        self, query: Query, image: ImageRecord, crop: models.Crop | None, layer: str | None
    ) -> Explanation:
        key = (query if isinstance(query, str) else query.code, image.code, crop, layer)
        known = self._pairs.get(key)
        if known is None:
            if not self._room.acquire(timeout=PATIENCE):
                raise BusyError("other explanations are being made")
            try:
                known = self._make(query, image, crop, layer)
            finally:
                self._room.release()
            self._pairs.put(key, known)
        return known

    def _make(
        self, query: Query, image: ImageRecord, crop: models.Crop | None, layer: str | None
    ) -> Explanation:
        box = None if crop is None else crop.box
        one, other = self._pictures.pixels_of(query, box), self._pictures.pixels_of(image)
        try:
            made: Explanation = self._batcher.call(
                lambda: self._opened().explain(one, other, layer)
            )
        except UserError as error:
            raise RefusedError(" ".join(str(error).split())) from None
        pre = self._collection.spec.preprocessing
        times = max(1, SHOWN // max(pre.size))
        if times > 1 and not is_exact(pre.resize):  # an exact one cuts at a scale of its own
            size = (times * pre.size[0], times * pre.size[1])
            made = replace(
                made,
                query=replace(made.query, picture=self._pictures.pixels_of(query, box, size)),
                result=replace(made.result, picture=self._pictures.pixels_of(image, size=size)),
            )
        return made

    def _opened(self) -> Explainer:
        if self._explainer is None:
            self._explainer = self._collection.explainer()
        return self._explainer


def _rounded(values: Floats) -> list[list[float]]:
    return [[round(float(value), 7) for value in row] for row in values]
