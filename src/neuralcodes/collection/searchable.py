"""`SearchableCollection`: what is like a picture, how likely it matches, what is there twice.

What only some of its methods need is imported by them, so that a search from the command line
starts sooner.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuralcodes.codes.probability import (
    MatchProbability,
    Method,
    probability_file,
    save_probability,
)
from neuralcodes.collection.matching import Wanted, find_matches
from neuralcodes.collection.opened import OpenCollection
from neuralcodes.collection.query import Crop, mean_code, text_query
from neuralcodes.collection.records import condition_of
from neuralcodes.collection.results import Match, Results
from neuralcodes.collection.snapshot import Floats
from neuralcodes.common.errors import UserError
from neuralcodes.images.imageset import Pixels

if TYPE_CHECKING:
    from neuralcodes.codes.explaining import Explainer, Explanation
    from neuralcodes.collection.duplicates import Duplicates


class SearchableCollection(OpenCollection):
    """An open collection that can be searched."""

    def search(
        self,
        query: Any = (),
        k: int = 10,
        *,
        text: str | Sequence[str] = (),
        crop: Crop | None = None,
        exclude: Any = (),
        filter: str | None = None,
        exact: bool = False,
    ) -> Results:
        """The images nearest to a picture, to words, or to several together (their codes' mean).

        An image of the collection that is searched by is not among its own results; copies of it
        are. The network is opened only for pictures whose content the collection does not have.

        Args:
            query: one or a list of: an id or "id:N"; a path or file: address; a PIL image, an
                array, a tensor, or the bytes of a file.
            k: how many.
            text: words, one text or several, where the collection's network has a text side.
            crop: left, top, width, height: search by this part of the (one) picture.
            exclude: pictures of what is not wanted: what is nearer to one of them than to the
                query is left out.
            filter: a condition such as 'label == "cat" and width > 300'; see `filters`.
            exact: do without the index.

        Raises:
            UserError: a picture cannot be had, the network knows no texts, or the filter is none.
        """
        if k < 1:
            raise UserError(f"-k {k}: give a number above 0")
        given = list(query) if isinstance(query, (list, tuple)) else [query]
        words = [text_query(one) for one in ([text] if isinstance(text, str) else text)]
        if not given and not words:
            raise UserError("nothing to search by; give a picture, or words with --text")
        if crop is not None and len(given) != 1:
            raise UserError("--crop goes with one picture, not with several or none")
        queries = [self._asking.look(one, crop) for one in given] + words
        unwanted = exclude if isinstance(exclude, (list, tuple)) else [exclude]
        negatives = [self._asking.look(one) for one in unwanted]
        code = mean_code([self._asking.code(one) for one in queries])
        against = np.stack([self._asking.code(one) for one in negatives]) if negatives else None
        hidden = frozenset(q.image for q in (*queries, *negatives) if q.image is not None)
        condition = condition_of(self._store, filter)
        wanted = Wanted(k, hidden, against, condition, exact, not words)
        matches = find_matches(self._store, self._searcher, code, wanted)
        return Results(
            " + ".join(one.name for one in queries),
            tuple(matches),
            self.spec.name,
            "; ".join(part for part in (self._searcher.warning, self._searcher.stale()) if part),
            "" if words else self._searcher.means(),
            pictures=self.pictures,
            asked=tuple(queries),
        )

    @property
    def read_sooner(self) -> bool:
        """Whether one search is answered sooner by reading all codes than by opening the index.

        So it is where the index holds them too, as a graph does: opening it reads them as well.
        Codes in a quantiser's bytes must be decoded, which takes longer.
        """
        state, form = self._store.setting("index"), self._store.form
        if state is None or form.stored:
            return state is None
        return len(self._store.snapshot()) * form.row_bytes <= int(state["memory_bytes"])

    @property
    def has_text(self) -> bool:
        """Whether it can be searched by words; opens the network.

        Raises:
            UserError: the network is not to be found, or makes other codes.
        """
        return self._coder.has_text()

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Codes to search with, float32 n×d, of texts.

        Raises:
            UserError: the network knows none, is not to be found, or makes other codes.
        """
        return self._coder.encode_texts(texts)

    def encode(self, pixels: Pixels) -> Floats:
        """Codes to search with, float32 n×d, of uint8 n×H×W×3 pixels of the network's input size.

        Raises:
            UserError: the network is not to be found, or makes other codes.
        """
        return self._coder.encode(pixels)

    @property
    def means(self) -> str:
        """What a probability beside a distance means, in words; empty where there is none."""
        return self._searcher.means()

    @property
    def warning(self) -> str:
        """What to know of searches now, as that the index could not be used; else empty."""
        return self._searcher.warning

    def search_codes(
        self,
        codes: Floats,
        k: int = 10,
        *,
        hidden: Iterable[int] = (),
        against: Floats | None = None,
        filter: str | None = None,
        exact: bool = False,
        pictured: bool = True,
    ) -> list[list[Match]]:
        """The images nearest to codes at hand, for each of them.

        Args:
            codes: float32 q×d of this collection's spec.
            k: how many.
            hidden: ids of images that are not to be found.
            against: float32 m×d, codes of what is not wanted, as `exclude` of `search`.
            filter: as for `search`.
            exact: do without the index.
            pictured: the codes are of pictures; those of words get no probability.
        """
        condition = condition_of(self._store, filter)
        wanted = Wanted(k, frozenset(hidden), against, condition, exact, pictured)
        return [find_matches(self._store, self._searcher, code, wanted) for code in codes]

    # Duplicates and what distances mean

    def duplicates(
        self, threshold: float | None = None, *, recalibrate: bool = False, flip: bool = False
    ) -> Duplicates:
        """Exact copies, and near-duplicates by the distance of their codes.

        Args:
            threshold: distance up to which two pictures count as near-duplicates; when None it is
                measured on the collection, once, and remembered (see `calibration`).
            recalibrate: measure it again.
            flip: a mirrored picture is the same, when measuring.

        Raises:
            UserError: too few pictures to measure on, or a threshold that takes in too much.
        """
        from neuralcodes.collection.duplicates import Duplicates, find_duplicates

        calibration = None
        if threshold is None:
            calibration = self._store.setting("calibration")
            if recalibrate or calibration is None:
                calibration = self.calibrate(flip=flip)
            threshold = float(calibration["threshold"])
        groups = find_duplicates(self._store, self._store.snapshot(), self._searcher, threshold)
        return Duplicates(tuple(groups), threshold, calibration, self.pictures)

    def calibrate(self, *, flip: bool = False) -> dict[str, Any]:
        """Measure how near near-duplicates are, and remember it; see `calibration.Calibration`.

        Raises:
            UserError: too few pictures, or another process is writing.
        """
        from neuralcodes.collection.calibration import calibrate

        snapshot = self._store.snapshot()
        found = calibrate(self._store, snapshot, self._coder, self.pictures, flip).to_json()
        with self._writing() as writer, writer.transaction():
            writer.set("calibration", found)
        return found

    def explain(self, query: Any, result: Any, *, layer: str | None = None) -> Explanation:
        """Which regions of two pictures carry their similarity.

        Args:
            query: as for `search`, one.
            result: likewise.
            layer: whose map is looked at; see `codes.explaining.Explainer.explain`.

        Raises:
            UserError: a picture cannot be had, no such layer, or the code cannot be seen through.
        """
        from neuralcodes.collection.explaining import explain

        return explain(
            self._asking, self._coder, self.pictures, self.probability, (query, result), layer
        )

    def explainer(self) -> Explainer:
        """What explains similarities by this collection's code, for pixels at hand."""
        from neuralcodes.codes.explaining import Explainer

        return Explainer(self._coder.encoder)

    @property
    def probability(self) -> MatchProbability | None:
        """How likely a result matches, by its distance; None until `calibrate_distances`.

        Raises:
            UserError: its file is damaged.
        """
        return self._searcher.probability()

    def calibrate_distances(
        self,
        labels: str | None = None,
        *,
        views: bool = False,
        method: Method = "isotonic",
        queries: int = 2000,
        depth: int = 10,
        seed: int = 0,
    ) -> MatchProbability:
        """Measure how likely a result matches, by its distance; shown beside it from then on.

        Fitted on what searches by the collection's own pictures return; see
        `evaluation.calibration`.

        Args:
            labels: the column whose value a match shares with the query; None for "label", the
                folder that images lie in, or where that tells no images apart, for views.
            views: a match is the picture that an altered view, which is searched by, was made from.
            method: "isotonic" or "logistic".
            queries: so many searches at most.
            depth: results looked at of each.
            seed: of what is drawn.

        Raises:
            UserError: no such column, too few pictures, nothing to learn from, no right to write.
        """
        from neuralcodes.collection.probability import (
            Sampling,
            calibrate_collection,
            choose_labels,
        )

        column = choose_labels(self._store, labels, views)
        known = calibrate_collection(
            self._store, self._searcher, self._coder, self.pictures,
            column, method, Sampling(queries, depth, seed),
        )  # fmt: skip
        self.use_probability(known)
        return known

    def use_probability(self, known: MatchProbability) -> None:
        """Take over a calibration of the same code that was made elsewhere.

        Raises:
            UserError: it is of another code, or no right to write.
        """
        known.require_code(self.spec)
        save_probability(probability_file(self.path, self.spec), known)

    def not_duplicates(self, one: Any, other: Any) -> None:
        """Remember that two images are different, however near; they are never shown together.

        Args:
            one: an id, "id:N" or path.
            other: likewise.

        Raises:
            UserError: one of them is not in the collection.
        """
        from neuralcodes.collection.duplicates import mark_different

        first, second = self._record(one), self._record(other)
        with self._writing() as writer:
            mark_different(writer, first, second)

    def maybe_duplicates(self, one: Any, other: Any) -> None:
        """Take `not_duplicates` back."""
        from neuralcodes.collection.duplicates import mark_different

        first, second = self._record(one), self._record(other)
        with self._writing() as writer:
            mark_different(writer, first, second, different=False)
