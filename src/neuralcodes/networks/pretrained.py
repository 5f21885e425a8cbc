"""What pretrained networks of all sources share: finding their files, running them, checking them.

Every one is opened from a local folder, either the user's own or a snapshot of a repository that
the hub's client keeps in its cache; the snapshot's commit becomes part of the network's name.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.images.decode import decode
from neuralcodes.networks.names import parse_pretrained
from neuralcodes.networks.registry import NetworkKind
from neuralcodes.networks.runtime import evaluating
from neuralcodes.networks.taps import first_tensor

POOLED = "pooled"
"""Layer: the network's own code of an image, before any classifier."""
IMAGE_EMBEDS = "image_embeds"
"""Layer: the image's embedding in the space that a network shares with texts."""

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
_PICKLED = ("pytorch_model*.bin", "*.pt", "*.pth", "*.bin", "*.ckpt", "*.h5", "*.msgpack")


@dataclass(frozen=True)
class Found:
    """A pretrained network's files.

    Attributes:
        name: the network's, with the commit where it came from the hub.
        folder: where its files are.
    """

    name: str
    folder: Path


def load_library(package: str, extra: str) -> Any:
    """Import the library that a pretrained network needs.

    Raises:
        UserError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name == package.partition(".")[0]:
            raise UserError(
                f'{extra}: networks need one more package: pip install "neuralcodes[{extra}]"'
            ) from None
        raise UserError(_broken(package, error)) from error
    except Exception as error:  # torchvision beside another torch raises a RuntimeError
        raise UserError(_broken(package, error)) from error


def _broken(package: str, error: Exception) -> str:
    return (
        f"{package} is installed and cannot be imported ({type(error).__name__}: {error}); "
        "torchvision must be of the release that belongs to the installed torch"
    )


def find_files(name: str, patterns: Sequence[str], default_owner: str = "") -> Found:
    """The files of a pretrained network: a local folder, or a snapshot from the hub, kept.

    Args:
        name: `SOURCE:NAME[#REVISION]`.
        patterns: of the files that are needed.
        default_owner: of repositories that are named without one.

    Raises:
        UserError: no such folder or repository, or the hub cannot be reached.
    """
    asked = parse_pretrained(name)
    if asked.folder is not None:
        if not asked.folder.is_dir():
            raise UserError(f"{name}: no such folder")
        return Found(name, asked.folder)
    repository = asked.place
    if default_owner and "/" not in repository:
        repository = f"{default_owner}/{repository}"
    hub = load_library("huggingface_hub", asked.source)
    errors = importlib.import_module("huggingface_hub.errors")
    try:
        folder = Path(
            hub.snapshot_download(
                repository, revision=asked.revision, allow_patterns=list(patterns)
            )
        )
    except errors.GatedRepoError:
        raise UserError(
            f"{name}: its owner asks you to accept terms first; do so on its page at the hub, "
            "then `hf auth login`"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"{name}: no such repository at the hub, or a private one (`hf auth login`); "
            f"a local folder is written {asked.source}:./FOLDER"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{name}: the repository has no revision {asked.revision}") from None
    except errors.HFValidationError as error:
        raise UserError(
            f"{name}: not a repository's name ({str(error).split(':')[0]}); write OWNER/NAME, or "
            f"{asked.source}:./FOLDER for a local folder"
        ) from None
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError, OSError):
        raise UserError(
            f"{name}: not on this machine, and the hub cannot be reached; run it once with a "
            f"network, or give a folder that the library saved: {asked.source}:./FOLDER"
        ) from None
    return Found(f"{asked.source}:{asked.place}#{folder.name}", folder)


def safetensors_of(found: Found, names: Sequence[str] = ("model.safetensors",)) -> list[Path]:
    """The weights' files, whole or in parts.

    Args:
        found: where to look.
        names: that a single file may have.

    Raises:
        UserError: there are none, or pickled ones only.
    """
    for name in names:
        if (found.folder / name).is_file():
            return [found.folder / name]
    parts = sorted(found.folder.glob("model-*-of-*.safetensors"))
    if parts:
        return parts
    pickled = any(True for pattern in _PICKLED for _ in found.folder.glob(pattern))
    raise UserError(
        f"{found.name}: "
        + ("has pickled weights only, which can run" if pickled else "has no safetensors weights;")
        + (" any program when they are opened; " if pickled else " pickled ones are refused; ")
        + "convert them where you trust them (load the model, then save_pretrained), and give "
        "that folder"
    )


class Pretrained(nn.Module):
    """A network of another library, which takes float N×3×H×W and gives N×d, its own code.

    Its layers keep the names that they have in `model`; one is added, called `layer`, which gives
    the code.

    Args:
        model: of the library.
        layer: name of the code.
        code: of a batch of images.
    """

    def __init__(
        self, model: nn.Module, layer: str, code: Callable[[torch.Tensor], torch.Tensor]
    ) -> None:
        super().__init__()
        self.model = model
        self.add_module(layer, nn.Identity())
        self._layer = layer
        self._code = code

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The network's own code of images."""
        code: torch.Tensor = self.get_submodule(self._layer)(self._code(images))
        return code

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """As PyTorch's, with the model's own names."""
        base = f"{prefix}." if prefix else ""
        for name, module in super().named_modules(memo, prefix, remove_duplicate):
            own = name.removeprefix(base) if name != prefix else ""
            own = "" if own == "model" else own.removeprefix("model.")
            yield (base + own if own else prefix), module


@contextmanager
def loading(name: str, library: str) -> Iterator[None]:
    """Whatever a file from elsewhere leads the library into is an error that names the network."""
    try:
        yield
    except Exception as error:
        reason = f"{error}".strip().splitlines() or [""]
        raise UserError(
            f"{name}: {library} cannot load it ({type(error).__name__}: {reason[0]})"
        ) from error


def not_buildable(name: str) -> Callable[[int], nn.Module]:
    """A builder for a network that comes with its weights."""

    def build(_classes: int) -> nn.Module:
        raise UserError(f"{name}: comes with its weights and cannot be built without them")

    return build


def trial(name: str, network: nn.Module, kind: NetworkKind) -> torch.Tensor:
    """Run a batch of two equal images of noise.

    Returns:
        The code, float 2×d.

    Raises:
        UserError: the network does not run at this size, gives no vector, or gives something else
            each time.
    """
    height, width = kind.input_size
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    try:
        with evaluating(network):
            code = first_tensor(network(noise.expand(2, -1, -1, -1)))
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise UserError(
            f"{name}: does not run on images of {height}×{width}, as its settings want them "
            f"({error})"
        ) from error
    if code is None or code.ndim != 2 or len(code) != 2:
        raise UserError(f"{name}: gives no vector for an image; it is not a network of images")
    if not torch.allclose(code[0], code[1], rtol=1e-3, atol=1e-5):
        raise UserError(
            f"{name}: gives another code each time (masked or random parts); it cannot be used"
        )
    return code


def check_preprocessing(
    name: str,
    kind: NetworkKind,
    prepare: Callable[[Image.Image], torch.Tensor],
    tolerance: float = 1e-4,
) -> None:
    """Compare our way from an image to the network's input with the library's, on made pictures.

    Args:
        name: of the network.
        kind: says our way.
        prepare: the library's, an RGB image → float 3×H×W.
        tolerance: of the largest difference.

    Raises:
        UserError: they differ; such a network is refused, not fed something else.
    """
    mean, std = (torch.tensor(v).view(3, 1, 1) * 255 for v in (kind.mean, kind.std))
    height, width = kind.input_size
    for size in ((97, 61), (331, 450)):
        picture = _picture(*size)
        file = io.BytesIO()
        picture.save(file, "PNG")
        pixels = torch.from_numpy(np.array(decode(file.getvalue(), kind.input_size, kind.resize)))
        ours = (pixels.permute(2, 0, 1).float() - mean) / std
        theirs = prepare(picture)
        # a library may leave the longer side as it is, where we take the middle
        top, left = (theirs.shape[-2] - height) // 2, (theirs.shape[-1] - width) // 2
        middle = theirs[..., max(0, top) :, max(0, left) :][..., :height, :width]
        if ours.shape != middle.shape or (ours - middle).abs().max() > tolerance:
            raise UserError(
                f"{name}: prepares images in a way that cannot be followed here; it is refused, "
                "for its codes would not be its own"
            )


def _picture(height: int, width: int) -> Image.Image:
    """Waves of many lengths and a little noise; the same at each call."""
    rows, columns = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).normal(0, 6, (height, width, 3))
    waves = np.stack([np.sin(rows * a / 9) * np.cos(columns / a / 3) for a in (1, 2, 3)], axis=2)
    return Image.fromarray((128 + 90 * waves + noise).clip(0, 255).astype(np.uint8))
