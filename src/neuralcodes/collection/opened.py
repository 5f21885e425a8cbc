"""`OpenCollection`: a collection's files held open, and what can be read from them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from neuralcodes.codes.spec import CodeSpec
from neuralcodes.collection import describing
from neuralcodes.collection.coding import Coder
from neuralcodes.collection.describing import Info
from neuralcodes.collection.pictures import Pictures
from neuralcodes.collection.query import Asking
from neuralcodes.collection.records import condition_of, every_image
from neuralcodes.collection.results import ImageRecord
from neuralcodes.collection.searching import Searcher
from neuralcodes.collection.snapshot import Floats
from neuralcodes.collection.store import Store
from neuralcodes.collection.writer import Writer, writing
from neuralcodes.common.errors import UserError


class OpenCollection:
    """A collection in one folder on disk, open; a context manager."""

    def __init__(self, store: Store, coder: Coder) -> None:
        self._store = store
        self._coder = coder
        self.pictures = Pictures(store.path)
        self._asking = Asking(store, coder, self.pictures)
        self._searcher = Searcher(store)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, code: str | None = None, device: str = "auto"
    ) -> Self:
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
            stored = store.form.stored
            coder = Coder(store.path, store.spec, written, device, code or "", stored)
            coder.check()
        except BaseException:
            store.close()
            raise
        return cls(store, coder)

    def close(self) -> None:
        """Let go of the files."""
        self._store.close()

    def __enter__(self) -> Self:
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
    def coder(self) -> Coder:
        """What makes its codes."""
        return self._coder

    @property
    def dtype(self) -> str:
        """How codes are stored: float32, float16, or the name of the quantiser that does it."""
        return self._store.form.name

    def image(self, number: int) -> ImageRecord:
        """An image by its id.

        Raises:
            UserError: there is none.
        """
        return describing.image(self._store, number)

    def images(self, filter: str | None = None) -> Iterator[ImageRecord]:
        """All images that have a code, or those that a filter lets through, in order of ids."""
        return every_image(self._store, condition_of(self._store, filter))

    def codes(self, ids: Sequence[int]) -> Floats:
        """Codes of images by id, float32 n×d.

        Raises:
            UserError: one of them is not there or has no code.
        """
        return describing.codes(self._store, ids)

    def to_arrow(self, filter: str | None = None) -> Any:
        """Images and codes as a pyarrow.Table in memory.

        Columns as `export` writes them (id, path, folder, label, width, height, size, kind, date
        and your own), and `code`, a list of d float32: the code as it is searched. The schema's
        metadata names the code and its fingerprint.

        Args:
            filter: only images that it lets through.

        Raises:
            UserError: pyarrow is missing, or a column of yours is called `code`.
        """
        from neuralcodes.collection.tables import arrow_table

        return arrow_table(self._store, list(self.images(filter)))

    def to_dataset(self, filter: str | None = None, *, images: bool = True) -> Any:
        """Images and codes as a datasets.Dataset (Hugging Face): the columns of `to_arrow`.

        Args:
            filter: only images that it lets through.
            images: also a column `image`, decoded when it is looked at: files by where they lie,
                those in archives and object stores by their bytes, which stay in memory.

        Raises:
            UserError: the library is missing, a picture cannot be read, or a column of yours is
                called `code` or `image`.
        """
        from neuralcodes.collection.tables import dataset_of

        pictures = self.pictures if images else None
        return dataset_of(self._store, list(self.images(filter)), pictures)

    def to_fiftyone(
        self, dataset: Any, field: str = "neuralcode", *, brain_key: str | None = None
    ) -> int:
        """Give the samples of a FiftyOne data set their codes, found by their files.

        Args:
            dataset: a fiftyone.Dataset or view.
            field: of the samples, which is set to float32 d.
            brain_key: also index them for FiftyOne's search by similarity (Euclidean), under this
                name.

        Returns:
            How many samples got a code.

        Raises:
            UserError: no sample's file is an image of the collection, or fiftyone is missing.
        """
        from neuralcodes.collection.fiftyone import give_codes

        return give_codes(self._store, self.images(), self.pictures, dataset, field, brain_key)

    def info(self) -> Info:
        """How many images, how much room, which index at which recall."""
        return describing.info(self._store)

    def bad(self) -> list[tuple[str, str]]:
        """Images without a code: path and reason."""
        return describing.bad(self._store)

    def _repr_html_(self) -> str:
        return describing.page(self._store, self.pictures)

    def _record(self, given: Any) -> ImageRecord:
        query = self._asking.look(given)
        if query.image is None:
            raise UserError(f"{query.name}: not an image of {self.path}")
        return self.image(query.image)

    @contextmanager
    def _writing(self) -> Iterator[Writer]:
        with writing(self._store) as writer:
            yield writer
