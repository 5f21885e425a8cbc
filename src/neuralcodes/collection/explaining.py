"""Why two pictures match, by a collection's code."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from neuralcodes.codes.probability import MatchProbability
from neuralcodes.collection.coding import Coder
from neuralcodes.collection.pictures import Pictures
from neuralcodes.collection.query import Asking, Query
from neuralcodes.common.errors import UserError

if TYPE_CHECKING:
    from neuralcodes.codes.explaining import Explanation


def explain(
    asking: Asking,
    coder: Coder,
    pictures: Pictures,
    known: MatchProbability | None,
    pair: tuple[Any, Any],
    layer: str | None,
) -> Explanation:
    """Take the similarity of two pictures apart; see `codes.explaining`.

    Args:
        known: the collection's calibration, if there is one.
        pair: the query and the result, as `Asking.look` takes them.
        layer: whose map is looked at; None for the deepest.

    Raises:
        UserError: a picture cannot be had, no such layer, or the code cannot be seen through.
    """
    from neuralcodes.codes.explaining import Explainer

    queries = [asking.look(given) for given in pair]
    one, other = (_read(query, pictures) for query in queries)
    try:
        made = Explainer(coder.encoder).explain_files(one, other, layer)
    except ValueError as error:
        raise UserError(f"{queries[0].name} or {queries[1].name}: {error}") from None
    return made if known is None else replace(made, probability=float(known.of(made.distance)))


def _read(query: Query, pictures: Pictures) -> bytes:
    try:
        return query.read(pictures)
    except OSError as error:
        raise UserError(f"{query.name}: {(error.strerror or str(error)).lower()}") from None
