"""Codes of a user's images, into files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import parse_code
from neuralcodes.codes.store import Codes
from neuralcodes.common.errors import UserError
from neuralcodes.images.imageset import BadImage
from neuralcodes.images.unlabelled import all_images
from neuralcodes.networks.opened import open_network
from neuralcodes.networks.runtime import choose_runtime


@dataclass(frozen=True)
class Extracted:
    """Codes by the path they were written to (without ending), and the images without a code."""

    codes: dict[Path, Codes]
    bad: tuple[BadImage, ...]


def extract_codes(
    images: Path, codes: Sequence[str], out: Path, device: str, precision: str
) -> Extracted:
    """Extract codes of all images below a folder or in a zip file; one pass for all layers.

    Raises:
        UserError: no images, unknown network or layer, codes of several networks.
    """
    requests = [parse_code(text) for text in codes]
    networks = {request.network for request in requests}
    if len(networks) > 1:
        raise UserError(
            f"--code: of several networks ({', '.join(sorted(networks))}); give one at a time"
        )
    network = open_network(requests[0].network)
    encoder = Encoder(network, requests, choose_runtime(device, precision))  # type: ignore[arg-type]
    pre = encoder.preprocessing
    image_set = all_images(images, pre.size, pre.resize)
    made = encoder.encode_images(image_set, out)
    written = {out / name: codes for name, codes in zip(encoder.file_names(), made, strict=True)}
    return Extracted(written, image_set.bad)
