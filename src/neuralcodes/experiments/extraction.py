"""Codes of a user's images, into files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import parse_code
from neuralcodes.codes.store import Codes, load_codes
from neuralcodes.collection.export import write_codes
from neuralcodes.collection.records import every_image
from neuralcodes.collection.schema import DATABASE
from neuralcodes.collection.store import Store
from neuralcodes.common.errors import UserError
from neuralcodes.common.team import Team, shared_folder
from neuralcodes.experiments.runfolder import codes_path
from neuralcodes.images.imageset import BadImage
from neuralcodes.images.tinyimagenet import holds_tiny_imagenet
from neuralcodes.images.unlabelled import all_images
from neuralcodes.networks.names import SHIPPED, source_of


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
    encoder = Encoder.open(codes, device, precision)
    pre = encoder.preprocessing
    image_set = all_images(images, pre.size, pre.resize)
    made = encoder.encode_images(image_set, out)
    written = {out / name: codes for name, codes in zip(encoder.file_names(), made, strict=True)}
    return Extracted(written, image_set.bad)


@contextmanager
def codes_to_judge(target: Path, data: Path | None, device: str, precision: str) -> Iterator[Codes]:
    """Codes that are stored, or those that a pretrained or the shipped network makes of images.

    In a team all ranks get them, and each makes some.

    Args:
        target: a collection, codes, RUN@LAYER for a run's own, or the code of such a network.
        data: folder or zip file of the images, for a network.
        device, precision: see `choose_runtime`.

    Raises:
        UserError: no such codes, an empty collection, or no images for a network.
    """
    if (target / DATABASE).is_file():
        with shared_folder() as folder:
            Team.current().lead(partial(_write_collection, target, folder / "codes"))
            yield load_codes(folder / "codes")
        return
    code = target.as_posix()
    network = parse_code(code).network
    if source_of(network) is None and network != SHIPPED:
        yield load_codes(codes_path(target))
        return
    if data is None or holds_tiny_imagenet(data):
        raise UserError(f"--data: give the folder or zip file of images that {code} is judged on")
    with shared_folder() as folder:
        [codes] = extract_codes(data, [code], folder, device, precision).codes.values()
        yield codes


def _write_collection(collection: Path, path: Path) -> None:
    with closing(Store(collection)) as store:
        records = list(every_image(store))
        if not records:
            raise UserError(f"{collection}: no image in it")
        write_codes(store, path, records)
