"""The network of a collection, opened when a code has to be made and not before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.spec import CodeSpec, parse_code
from neuralcodes.collection.segments import Array
from neuralcodes.common.errors import UserError
from neuralcodes.images.imageset import Pixels
from neuralcodes.networks.names import absolute_name, path_of

if TYPE_CHECKING:
    from neuralcodes.codes.encoder import Encoder
    from neuralcodes.codes.transforms.chain import Form


def absolute_code(code: str, network: str) -> str:
    """The same code for any time and working folder.

    Args:
        code: as written.
        network: the name by which its network can be opened again; a path becomes a full path.
    """
    return absolute_name(network) + code[len(parse_code(code).network) :]


class Coder:
    """Makes codes that fit a collection, and no others.

    Args:
        path: the collection, for messages.
        spec: what its codes are.
        written: the code as it was written when the collection was made, with full path.
        device: "auto", "cpu" or "cuda".
        instead: a code given now in place of the one remembered.
        stored: the collection keeps the stored form of codes.
    """

    def __init__(
        self,
        path: Path,
        spec: CodeSpec,
        written: str,
        device: str = "auto",
        instead: str = "",
        stored: bool = False,
    ) -> None:
        self._path = path
        self.spec = spec
        self._written = written
        self._device = device
        self._instead = instead
        self._stored = stored
        self._encoder: Encoder | None = None

    def adopt(self, encoder: Encoder) -> None:
        """Use an encoder at hand.

        Raises:
            UserError: it makes other codes.
        """
        self._refuse_other(encoder.specs[0])
        self._encoder = encoder

    def check(self) -> None:
        """Open the network if another was given, and refuse it if it makes other codes.

        Raises:
            UserError: it does.
        """
        if self._instead:
            self._open()

    @property
    def encoder(self) -> Encoder:
        """The network, opened now if it was not.

        Raises:
            UserError: it is not to be found, or is not the one.
        """
        return self._open()

    def encode(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """Codes to search with, float32 n×d, of uint8 n×H×W×3 pixels of the network's input size.

        Raises:
            UserError: the network is not to be found, or is not the one.
        """
        made: npt.NDArray[np.float32] = self._encode(pixels, "query")
        return made

    def encode_rows(self, pixels: Pixels) -> Array:
        """Codes as the collection keeps them, n rows; else as `encode`."""
        return self._encode(pixels, self.form)

    @property
    def form(self) -> Form:
        """Of the encoder's codes, which one the collection keeps."""
        return "stored" if self._stored else "searched"

    def _encode(self, pixels: Pixels, form: Form) -> Array:
        made: Array = self._open().encode(pixels, form)[0]
        return made

    def has_text(self) -> bool:
        """Whether texts have codes here; opens the network.

        Raises:
            UserError: as for `encode`.
        """
        return self._open().has_text

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Codes of texts to search with, float32 n×d.

        Raises:
            UserError: as for `encode`, or the network knows no texts.
        """
        made: npt.NDArray[np.float32] = self._open().encode_texts(texts)[0]
        return made

    def _open(self) -> Encoder:
        if self._encoder is None:
            code = self._instead or self._find()
            from neuralcodes.codes.encoder import Encoder

            known = None if self.spec.transforms or self._instead else [self.spec.dims]
            encoder = Encoder.open(code, self._device, self.spec.precision, known)
            self._refuse_other(encoder.specs[0])
            self._encoder = encoder
        return self._encoder

    def _find(self) -> str:
        """The code as written then, or as it may be found from here."""
        request = parse_code(self._written)
        place = path_of(request.network)
        if place is None or place.exists() or not place.is_absolute():
            return self._written
        here = path_of(parse_code(self.spec.name).network)
        if here is not None and here.exists():
            return self.spec.name
        raise UserError(
            f"{self._path}: its network {request.network} is no longer there; "
            f"say where it is now: --code NETWORK@{request.layer or 'LAYER'}"
        )

    def _refuse_other(self, spec: CodeSpec) -> None:
        try:
            self.spec.require_same(spec)
        except UserError as error:
            raise UserError(
                f"{self._path}: made with other weights or another code than {spec.name}: {error}"
            ) from None
