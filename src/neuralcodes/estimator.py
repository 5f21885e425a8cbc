"""`NeuralCodes`: codes of pictures as a scikit-learn transformer, for pipelines and searches."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin

from neuralcodes.codes.passes import passes
from neuralcodes.common.errors import UserError

if TYPE_CHECKING:
    from neuralcodes.codes.encoder import Encoder
    from neuralcodes.images.imageset import Pixels

Bad = Literal["raise", "nan"]


class NeuralCodes(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Pictures → float32 n×d, rows of length 1 (or zero). There is nothing to fit.

    Args:
        code: what an image's code is, `NETWORK[@LAYER…]`; the weights that the package carries.
        device: "auto", "cpu" or "cuda".
        precision: of the network's products: "fp32", "bf16" or "auto" (the faster).
        bad: what a picture that cannot be read becomes: an error, or a row of NaN.

    Examples:
        >>> import numpy as np
        >>> from neuralcodes import NeuralCodes
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.neighbors import NearestNeighbors
        >>> blank = np.zeros((3, 80, 60, 3), np.uint8)  # or paths, or PIL images
        >>> NeuralCodes().fit_transform(blank).shape
        (3, 128)
    """

    def __init__(
        self, code: str = "shipped", device: str = "auto", precision: str = "fp32",
        bad: Bad = "raise",
    ) -> None:  # fmt: skip
        self.code = code
        self.device = device
        self.precision = precision
        self.bad = bad

    def fit(self, X: Any = None, y: Any = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Look at nothing; tell a wrong `code` or `device` early.

        Raises:
            UserError: unknown network, layer, transform or option.
        """
        if self.bad not in ("raise", "nan"):
            raise UserError(f"bad={self.bad!r}: choose 'raise' or 'nan'")
        self._encoder()
        return self

    def transform(self, X: Iterable[Any]) -> npt.NDArray[np.float32]:  # noqa: N803
        """Codes of pictures, float32 n×d.

        Args:
            X: paths; PIL images; arrays or tensors H×W, H×W×C or C×H×W, uint8 or floats from 0
                to 1; bytes of image files; also all of them in one n×H×W×C array.

        Raises:
            UserError: a picture cannot be read (unless `bad` is "nan"); the message says which.
        """
        from neuralcodes.common.progress import progress

        encoder, rows = self._encoder(), []
        pictures = list(X)
        with progress(len(pictures), "codes") as bar:
            for part in passes(len(pictures)):
                rows.append(self._codes(encoder, pictures[part], part.start))
                bar.update(part.stop - part.start)
        empty = np.empty((0, encoder.specs[0].dims), np.float32)
        return np.concatenate([empty, *rows])

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """`neuralcodes0` and so on, as scikit-learn names what a transformer gives."""
        dims = self._encoder().specs[0].dims
        return np.array([f"neuralcodes{number}" for number in range(dims)], dtype=object)

    def _codes(self, encoder: Encoder, pictures: list[Any], first: int) -> npt.NDArray[np.float32]:
        pixels: list[Pixels] = []
        places = []
        for number, picture in enumerate(pictures):
            try:
                pixels.append(_pixels(picture, encoder))
                places.append(number)
            except (OSError, ValueError) as error:
                if self.bad == "raise":
                    name = picture if isinstance(picture, str | os.PathLike) else "not a picture"
                    raise UserError(f"picture {first + number}: {name}: {error}") from None
        made = np.full((len(pictures), encoder.specs[0].dims), np.nan, dtype=np.float32)
        if places:
            made[places] = encoder.encode(np.stack(pixels))[0]
        return made

    def _encoder(self) -> Encoder:
        """Opened anew where the parameters have changed; never part of a pickle or a clone."""
        from neuralcodes.codes.encoder import Encoder

        asked = (self.code, self.device, self.precision)
        known = self.__dict__.get("_opened")
        if known is None or known[0] != asked:
            known = (asked, Encoder.open(*asked))
            self._opened = known
        encoder: Encoder = known[1]
        return encoder

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_opened"}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.requires_fit = False
        tags.no_validation = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _pixels(picture: Any, encoder: Encoder) -> Pixels:
    """The network's input of one picture.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    from pathlib import Path

    from neuralcodes.images.decode import decode
    from neuralcodes.images.inmemory import picture_bytes

    if isinstance(picture, str | os.PathLike):
        data = Path(picture).read_bytes()
    else:
        try:
            data = picture_bytes(picture)
        except UserError as error:
            raise ValueError(str(error)) from None
    pre = encoder.preprocessing
    return decode(data, pre.size, pre.resize)
