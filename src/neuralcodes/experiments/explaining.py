"""Why two image files match, by any code."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.explaining import Explainer, Explanation
from neuralcodes.codes.spec import parse_code
from neuralcodes.collection.pictures import Pictures, printable
from neuralcodes.collection.query import split_path
from neuralcodes.common.errors import UserError
from neuralcodes.experiments.calibrating import probability_of_run


def open_explainer(code: str, device: str = "auto", precision: str = "fp32") -> Explainer:
    """An explainer of the code that people write as `NETWORK[@LAYER…]`.

    Raises:
        UserError: unknown network, layer or transform, or one that cannot be seen through.
    """
    return Explainer(Encoder.open(code, device, precision))


def explain(
    code: str,
    query: str | os.PathLike[str],
    result: str | os.PathLike[str],
    *,
    layer: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
) -> Explanation:
    """Which regions of two pictures carry their similarity.

    The heat maps are `.query.heat` and `.result.heat`, float32 H×W of the network's input size;
    their sums and `.query.rest` make the similarity.

    Args:
        code: what is compared, `NETWORK[@LAYER…]`.
        query, result: image files, or ARCHIVE/NAME.
        layer: whose map is looked at; see `Explainer.explain`.
        device: "auto", "cpu" or "cuda".
        precision: of the network's products.

    Raises:
        UserError: a picture cannot be read, unknown code or layer.
    """
    return explain_with(open_explainer(code, device, precision), code, query, result, layer)


def explain_with(
    explainer: Explainer,
    code: str,
    query: str | os.PathLike[str],
    result: str | os.PathLike[str],
    layer: str | None,
) -> Explanation:
    """The same with an explainer at hand."""
    one, other = _read(os.fspath(query)), _read(os.fspath(result))
    try:
        made = explainer.explain_files(one, other, layer)
    except ValueError as error:
        raise UserError(f"{query} or {result}: {error}") from None
    known = probability_of_run(Path(parse_code(code).network), explainer.spec)
    return made if known is None else replace(made, probability=float(known.of(made.distance)))


def _read(name: str) -> bytes:
    try:
        return Pictures(Path.cwd()).read(*split_path(name))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{printable(name)}: {reason}") from None
