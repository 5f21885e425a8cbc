"""`Collection`: the user's own pictures, searched and kept up to date."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuralcodes.codes.probability import (
    MatchProbability,
    Method,
    probability_file,
    save_probability,
)
from neuralcodes.codes.spec import CodeSpec
from neuralcodes.collection import adding, describing
from neuralcodes.collection.calibration import calibrate
from neuralcodes.collection.coding import Coder, absolute_code, make_encoder
from neuralcodes.collection.describing import Info
from neuralcodes.collection.duplicates import Duplicates, find_duplicates, mark_different
from neuralcodes.collection.explaining import explain
from neuralcodes.collection.export import export
from neuralcodes.collection.filters import Filter, parse_filter
from neuralcodes.collection.indexing import Wishes, read_wishes, update_index, write_wishes
from neuralcodes.collection.matching import Wanted, find_matches
from neuralcodes.collection.metadata import own_columns, read_table, set_metadata
from neuralcodes.collection.pictures import Pictures
from neuralcodes.collection.probability import (
    Sampling,
    calibrate_collection,
    choose_labels,
)
from neuralcodes.collection.query import Asking, Crop, mean_code, text_query
from neuralcodes.collection.records import every_image
from neuralcodes.collection.results import ImageRecord, Match, Results
from neuralcodes.collection.searching import Searcher
from neuralcodes.collection.snapshot import Floats
from neuralcodes.collection.store import DTYPES, Store, create_store
from neuralcodes.collection.syncreport import SyncOptions, SyncReport
from neuralcodes.collection.verify import VerifyReport, verify
from neuralcodes.collection.verify import repair as mend
from neuralcodes.collection.writer import Writer, writing
from neuralcodes.common.errors import UserError
from neuralcodes.images.imageset import Pixels

if TYPE_CHECKING:
    from neuralcodes.codes.explaining import Explainer, Explanation


class Collection:
    """A collection of pictures in one folder on disk.

    Made by `create`, opened by `open`; a context manager. Reading is safe from several threads and
    goes on while one process writes.

    Example:
        >>> with Collection.open("pictures.nc") as pictures:  # doctest: +SKIP
        ...     for match in pictures.search("cat.jpg", k=5):
        ...         print(match.distance, match.path)
    """

    def __init__(self, store: Store, coder: Coder) -> None:
        self._store = store
        self._coder = coder
        self.pictures = Pictures(store.path)
        self._asking = Asking(store, coder, self.pictures)
        self._searcher = Searcher(store)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        code: str,
        *,
        dtype: str = "float32",
        device: str = "auto",
        precision: str = "fp32",
        recall: float | None = None,
        backend: str | None = None,
        memory: int | None = None,
    ) -> Collection:
        """Make an empty collection.

        Args:
            path: a folder that is absent or empty.
            code: what an image's code is, `NETWORK[@LAYER…]`; kept for good.
            dtype: of the stored codes, "float32" or "float16" (half the room, distances to 1e-3).
            device: "auto", "cpu" or "cuda".
            precision: of the network's products, "fp32", "bf16" or "auto" (the faster).
            recall: share of the true nearest that searches shall find, 0.95 if not given.
            backend: an index by name; chosen by count and memory if not given.
            memory: bytes that the index may take.

        Raises:
            UserError: something is there already; no such network.
        """
        if dtype not in DTYPES:
            raise UserError(f"--dtype {dtype}: choose {' or '.join(DTYPES)}")
        where = Path(path)
        encoder = make_encoder(code, device, precision)
        settings = {
            "code": encoder.specs[0].to_json(),
            "network": absolute_code(code, encoder.network.name),
            "dtype": dtype,
        }
        create_store(where, settings)
        collection = cls.open(where, device=device)
        collection._coder.adopt(encoder)
        if recall is not None or backend is not None or memory is not None:
            collection.wish(recall=recall, backend=backend, memory=memory)
        return collection

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, code: str | None = None, device: str = "auto"
    ) -> Collection:
        """Open a collection.

        Args:
            path: its folder.
            code: where its network is now, if it has moved. Other weights are refused.
            device: for making codes.

        Raises:
            UserError: there is none, it is damaged, or `code` is another code.
        """
        store = Store(Path(path))
        try:
            written = str(store.setting("network"))
            coder = Coder(store.path, store.spec, written, device, code or "")
            coder.check()
        except BaseException:
            store.close()
            raise
        return cls(store, coder)

    def close(self) -> None:
        """Let go of the files."""
        self._store.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Images that have a code."""
        ((count,),) = self._store.query("SELECT count(*) FROM images WHERE code IS NOT NULL")
        return int(count)

    def __repr__(self) -> str:
        return f"<Collection {self.path}: {self.spec.name}>"

    @property
    def path(self) -> Path:
        """Its folder."""
        return self._store.path

    @property
    def store(self) -> Store:
        """Its folder, open for reading; see `lookup`."""
        return self._store

    @property
    def spec(self) -> CodeSpec:
        """What its codes are."""
        return self._store.spec

    @property
    def dtype(self) -> str:
        """Number type of the stored codes."""
        return str(self._store.dtype)

    # Keeping it up to date

    def sync(
        self,
        paths: Sequence[str | os.PathLike[str]] = (),
        *,
        prune: bool = False,
        retry_bad: bool = False,
        archives: bool | None = None,
    ) -> SyncReport:
        """Bring the collection up to date with folders, zip files, tar files or single images.

        Only new and changed files are read, only contents never seen go through the network; files
        that were moved are recognised, those that are gone leave. Each batch is committed by
        itself, so that an interruption loses at most the one in flight.

        Args:
            paths: what to look at; all that was indexed before when empty.
            prune: let images go also where a place holds none at all any more.
            retry_bad: try unreadable files again though they have not changed.
            archives: open zip and tar files that lie in folders; None as last time, at first not.
                Those that are named are always opened.

        Raises:
            UserError: nothing there, or another process is writing.
        """
        with self._writing() as writer:
            options = SyncOptions(prune=prune, retry_bad=retry_bad, archives=archives)
            report = adding.sync(writer, self._coder, self.pictures, paths, options)
            update_index(writer)
        return report

    def add(
        self, images: Any, *, names: Sequence[str] | None = None, metadata: Any = None
    ) -> SyncReport:
        """Add images without letting any go.

        Args:
            images: one or several of: a path; a PIL image, an array, a tensor or the bytes of a
                file, which the collection keeps as a file of its own.
            names: for images from memory, one each; else they are named by content.
            metadata: a mapping from column to value for all of them, or one mapping each.

        Raises:
            UserError: a path is not there, something is no picture, or another process is writing.
        """
        with self._writing() as writer:
            report = adding.add(writer, self._coder, self.pictures, images, names, metadata)
            update_index(writer)
        return report

    def remove(self, images: Any) -> int:
        """Take images out; they stay out when their folder is indexed again.

        No file is touched, except those that the collection keeps for images from memory.

        Args:
            images: one or several ids or paths; a folder's or archive's stands for all in it.

        Returns:
            How many images left.

        Raises:
            UserError: a path or id of which there is none, or another process is writing.
        """
        with self._writing() as writer:
            return adding.remove(writer, self.pictures, images)

    def compact(self) -> None:
        """Give back the room of what was removed, and put the codes into few files.

        Raises:
            UserError: full disk, or another process is writing.
        """
        with self._writing() as writer:
            adding.compact(writer)
            update_index(writer, force=writer.setting("index") is not None)

    def set_metadata(
        self, table: str | os.PathLike[str] | Iterable[Mapping[str, Any]]
    ) -> tuple[int, int]:
        """Give images values in columns of your own, for filters.

        Args:
            table: a CSV or Parquet file, or rows; each names an image in a column `path` (full,
                or below the folder indexed, or a name that only one has) or `id`.

        Returns:
            How many images got values, and how many rows fitted no image.

        Raises:
            UserError: no such file, no column that names images, a column's name is taken.
        """
        if isinstance(table, (str, os.PathLike)):
            rows, source = read_table(Path(table)), os.fspath(table)
        else:
            rows, source = [dict(row) for row in table], "metadata"
        with self._writing() as writer:
            return set_metadata(writer, rows, source)

    def wish(
        self, *, recall: float | None = None, backend: str | None = None, memory: int | None = None
    ) -> None:
        """Say what the index shall be; what is None stays as it was. See `create`.

        Raises:
            UserError: no such recall or index.
        """
        old = read_wishes(self._store)
        wishes = Wishes(
            old.recall if recall is None else recall,
            backend or old.backend,
            memory or old.memory,
        )
        with self._writing() as writer:
            write_wishes(writer, wishes)
            update_index(writer)

    # Searching

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
        wanted = Wanted(k, hidden, against, self._condition(filter), exact)
        matches = find_matches(self._store, self._searcher, code, wanted)
        return Results(
            " + ".join(one.name for one in queries),
            tuple(matches),
            self.spec.name,
            "; ".join(part for part in (self._searcher.warning, self._searcher.stale()) if part),
            self._searcher.means(),
            pictures=self.pictures,
            asked=tuple(queries),
        )

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
        return self._coder.encode(pixels, query=True)

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
    ) -> list[list[Match]]:
        """The images nearest to codes at hand, for each of them.

        Args:
            codes: float32 q×d of this collection's spec.
            k: how many.
            hidden: ids of images that are not to be found.
            against: float32 m×d, codes of what is not wanted, as `exclude` of `search`.
            filter: as for `search`.
            exact: do without the index.
        """
        wanted = Wanted(k, frozenset(hidden), against, self._condition(filter), exact)
        return [find_matches(self._store, self._searcher, code, wanted) for code in codes]

    def _condition(self, text: str | None) -> Filter | None:
        return parse_filter(text, own_columns(self._store)) if text is not None else None

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
        snapshot = self._store.snapshot()
        found = calibrate(self._store, snapshot, self._coder, self.pictures, flip).to_json()
        with self._writing() as writer, writer.transaction():
            writer.set("calibration", found)
        return found

    def explain(self, query: Any, result: Any, *, layer: str | None = None) -> Explanation:
        """Which regions of two pictures carry their similarity.

        Args:
            query, result: as for `search`, one each.
            layer: whose map is looked at; see `codes.explaining.Explainer.explain`.

        Raises:
            UserError: a picture cannot be had, no such layer, or the code cannot be seen through.
        """
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
            one, other: an id, "id:N" or path each.

        Raises:
            UserError: one of them is not in the collection.
        """
        records = [self._record(given) for given in (one, other)]
        with self._writing() as writer:
            mark_different(writer, *records)

    def maybe_duplicates(self, one: Any, other: Any) -> None:
        """Take `not_duplicates` back."""
        records = [self._record(given) for given in (one, other)]
        with self._writing() as writer:
            mark_different(writer, *records, different=False)

    def _record(self, given: Any) -> ImageRecord:
        query = self._asking.look(given)
        if query.image is None:
            raise UserError(f"{query.name}: not an image of {self.path}")
        return self.image(query.image)

    # Keeping it whole

    def verify(self, *, repair: bool = False, images: bool = False) -> VerifyReport:
        """Check every checksum, and mend what is damaged.

        Args:
            repair: compute damaged codes again from their pictures, and build a damaged index anew.
            images: also read every picture and compare it with what was indexed.

        Returns:
            What was found (before any repair).

        Raises:
            UserError: the database is damaged beyond repair, or another process is writing.
        """
        report = verify(self._store, self.pictures if images else None)
        if repair and not report.whole:
            with self._writing() as writer:
                mend(writer, self._coder, self.pictures, report)
        return report

    def export(
        self, folder: str | os.PathLike[str], *, filter: str | None = None, table: str = "parquet"
    ) -> list[Path]:
        """Write codes (.npy with its manifest) and a table of the images; row i belongs to row i.

        Args:
            folder: where to.
            filter: only images that it lets through.
            table: "parquet" or "csv".

        Raises:
            UserError: nothing to export, full disk, or pyarrow is missing.
        """
        return export(self._store, Path(folder), self._condition(filter), table)

    # Looking at it

    def image(self, number: int) -> ImageRecord:
        """An image by its id.

        Raises:
            UserError: there is none.
        """
        return describing.image(self._store, number)

    def images(self, filter: str | None = None) -> Iterator[ImageRecord]:
        """All images that have a code, or those that a filter lets through, in order of ids."""
        return every_image(self._store, self._condition(filter))

    def codes(self, ids: Sequence[int]) -> Floats:
        """Codes of images by id, float32 n×d.

        Raises:
            UserError: one of them is not there or has no code.
        """
        return describing.codes(self._store, ids)

    def info(self) -> Info:
        """How many images, how much room, which index at which recall."""
        return describing.info(self._store)

    def bad(self) -> list[tuple[str, str]]:
        """Images without a code: path and reason."""
        return describing.bad(self._store)

    def _repr_html_(self) -> str:
        return describing.page(self._store, self.pictures)

    @contextmanager
    def _writing(self) -> Iterator[Writer]:
        with writing(self._store) as writer:
            yield writer
