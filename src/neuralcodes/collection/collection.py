"""`Collection`: the user's own pictures, searched and kept up to date."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from neuralcodes.collection import adding
from neuralcodes.collection.coding import absolute_code
from neuralcodes.collection.engine import Engine
from neuralcodes.collection.export import export
from neuralcodes.collection.indexing import Wishes, read_wishes, update_index, write_wishes
from neuralcodes.collection.metadata import read_table, set_metadata
from neuralcodes.collection.records import condition_of
from neuralcodes.collection.rowformat import dtype_of
from neuralcodes.collection.searchable import SearchableCollection
from neuralcodes.collection.store import create_store
from neuralcodes.collection.syncreport import SyncOptions, SyncReport
from neuralcodes.collection.verify import VerifyReport, verify
from neuralcodes.collection.verify import repair as mend


class Collection(SearchableCollection):
    """A collection of pictures in one folder on disk.

    Made by `create`, opened by `open`; a context manager. Reading is safe from several threads and
    goes on while one process writes.

    Examples:
        >>> with Collection.open("pictures.nc") as pictures:  # doctest: +SKIP
        ...     for match in pictures.search("cat.jpg", k=5):
        ...         print(match.distance, match.path)
    """

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        code: str,
        *,
        dtype: str | None = None,
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
            dtype: of the stored codes, "float32" or "float16" (half the room, distances to 1e-3);
                not for a code that ends in a quantiser, which stores it.
            device: "auto", "cpu" or "cuda".
            precision: of the network's products, "fp32", "bf16" or "auto" (the faster).
            recall: share of the true nearest that searches shall find, 0.95 if not given.
            backend: an index by name; chosen by count and memory if not given.
            memory: bytes that the index may take.

        Raises:
            UserError: something is there already; no such network; a `dtype` that the code does
                not allow.
        """
        from neuralcodes.codes.encoder import Encoder

        where = Path(path)
        encoder = Encoder.open(code, device, precision)
        settings = {
            "code": encoder.specs[0].to_json(),
            "network": absolute_code(code, encoder.network.name),
            "dtype": dtype_of(encoder.specs[0], dtype),
        }
        steps = encoder.chains[0].steps
        create_store(where, settings, steps[-1] if steps else None)
        collection = cls.open(where, device=device)
        collection._coder.adopt(encoder)
        if recall is not None or backend is not None or memory is not None:
            collection.wish(recall=recall, backend=backend, memory=memory)
        return collection

    # Keeping it up to date

    def sync(
        self,
        paths: Sequence[str | os.PathLike[str]] = (),
        *,
        prune: bool = False,
        retry_bad: bool = False,
        archives: bool | None = None,
        engine: Engine | None = None,
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
            engine: what reads and makes codes; None for this process. The codes are the same.

        Raises:
            UserError: nothing there, or another process is writing.
        """
        with self._writing() as writer:
            options = SyncOptions(prune=prune, retry_bad=retry_bad, archives=archives)
            report = adding.sync(writer, self._coder, self.pictures, paths, options, engine)
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

    def add_dataset(
        self,
        dataset: Any,
        image: str = "image",
        *,
        columns: Sequence[str] | Mapping[str, str] | None = None,
        row: str | None = "row",
    ) -> SyncReport:
        """Add the images of a data set (Hugging Face `datasets`), streamed in batches of rows.

        An image that the data set holds by its path is indexed where it lies; one that it holds by
        its bytes is kept in the collection as a file, equal ones once, with the last one's columns.
        The report names rows whose image is absent or cannot be read. Adding it again adds nothing.

        Args:
            dataset: one split, a `datasets.Dataset` or `IterableDataset`.
            image: the column of images: of type Image, or of paths, bytes or uint8 arrays.
            columns: which become columns of the collection, for filters: names, or a mapping from
                their name to the one here. None for all numbers, texts, dates and class labels
                (these by name). A name that means something else here, such as `label`, gets
                `dataset_` before it.
            row: a column for the number of the row, to find it in the data set by; None for none.

        Raises:
            UserError: the library is missing, no such column, or another process is writing.
        """
        from neuralcodes.collection.datasets import add_dataset

        with self._writing() as writer:
            report = add_dataset(writer, self._coder, self.pictures, dataset, image, columns, row)
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
        return export(self._store, Path(folder), condition_of(self._store, filter), table)
