"""`Reasons`: why two pictures match, for people, from pixels that the decoders made."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
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
    from neuralcodes.codes.explaining import Explainer, Explanation

SHOWN = 384  # pixels of a heat map's longer side
AT_ONCE = 2
PATIENCE = 5.0  # seconds that a third one waits

Query = ImageRecord | str
"""An image of the collection, or an upload by its id."""


class Reasons:
    """Explains results; the last ones are remembered, as a page asks three times for each."""

    def __init__(self, collection: Collection, pictures: ServedPictures, batcher: Batcher) -> None:
        self._collection = collection
        self._pictures = pictures
        self._batcher = batcher
        self._explainer: Explainer | None = None
        self._made: Recent[Explanation] = Recent(32)
        self._room = threading.BoundedSemaphore(AT_ONCE)

    def explain(self, query: Query, image: ImageRecord) -> models.Explanation:
        """In figures.

        Raises:
            RefusedError: the code cannot be seen through, or a picture cannot be had.
        """
        made = self._explain(query, image)
        return models.Explanation(
            similarity=round(made.similarity, 6),
            distance=round(made.distance, 6),
            probability=made.probability,
            code=made.code,
            layer=made.layer,
            note=made.note,
            exact=made.exact,
            rows=made.query.parts.shape[0],
            columns=made.query.parts.shape[1],
            query=_rounded(made.query.parts),
            image=_rounded(made.result.parts),
            rest_query=round(made.query.rest, 6),
            rest_image=round(made.result.rest, 6),
        )

    def picture(self, query: Query, image: ImageRecord, side: Literal["query", "image"]) -> bytes:
        """One of the two under its heat map, JPEG; raises as `explain`."""
        from neuralcodes.reports.explanation import heated

        made = self._explain(query, image)
        shown = made.query if side == "query" else made.result
        file = io.BytesIO()
        Image.fromarray((heated(shown) * 255).round().astype(np.uint8)).save(
            file, "JPEG", quality=85
        )
        return file.getvalue()

    def _explain(self, query: Query, image: ImageRecord) -> Explanation:
        key = (query if isinstance(query, str) else query.code, image.code)
        known = self._made.get(key)
        if known is None:
            if not self._room.acquire(timeout=PATIENCE):
                raise BusyError("other explanations are being made")
            try:
                known = self._make(query, image)
            finally:
                self._room.release()
            self._made.put(key, known)
        return known

    def _make(self, query: Query, image: ImageRecord) -> Explanation:
        one, other = self._pictures.pixels_of(query), self._pictures.pixels_of(image)
        try:
            made: Explanation = self._batcher.call(lambda: self._opened().explain(one, other))
        except UserError as error:
            raise RefusedError(" ".join(str(error).split())) from None
        pre = self._collection.spec.preprocessing
        times = max(1, SHOWN // max(pre.size))
        if times > 1 and not is_exact(pre.resize):  # an exact one cuts at a scale of its own
            size = (times * pre.size[0], times * pre.size[1])
            large = [self._pictures.pixels_of(part, size) for part in (query, image)]
            made = replace(
                made,
                query=replace(made.query, picture=large[0]),
                result=replace(made.result, picture=large[1]),
            )
        known = self._collection.probability
        return made if known is None else replace(made, probability=float(known.of(made.distance)))

    def _opened(self) -> Explainer:
        if self._explainer is None:
            self._explainer = self._collection.explainer()
        return self._explainer


def _rounded(values: Floats) -> list[list[float]]:
    return [[round(float(value), 7) for value in row] for row in values]
