"""The codes of a network's layers, judged on images that it does not learn from.

By class where there are classes; without them by views, as `neuralcodes choose` does: changed
copies of an image are what is certainly similar to it. That is an estimate.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from neuralcodes.choosing.views import KINDS, view_images
from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import CodeSpec, parse_code
from neuralcodes.common.team import Team, shared_folder
from neuralcodes.evaluation.class_retrieval import (
    SHOWN_NEIGHBOURS,
    SHOWN_QUERIES,
    ClassRetrieval,
    class_retrieval,
    evaluate_class_retrieval,
)
from neuralcodes.evaluation.relevance import ClassRelevance
from neuralcodes.evaluation.sharing import team_ranks
from neuralcodes.experiments.configuration import Prepared
from neuralcodes.images.splits import REFERENCE_SEED
from neuralcodes.index.exact import Database, search_exact
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.runtime import Runtime
from neuralcodes.reports.unlabelled import MOST_VIEWED

Rows = npt.NDArray[np.int64]


def evaluate_layers(
    network: OpenNetwork, prepared: Prepared, runtime: Runtime, folder: Path
) -> dict[str, ClassRetrieval]:
    """What each layer with an alias reaches on `prepared.split.ood`.

    Args:
        network: whose codes.
        prepared: the images.
        runtime: of the codes.
        folder: for the images' codes, LAYER.npy and LAYER.json.

    Raises:
        UserError: full disk, no right to write.
    """
    images, layers = prepared.split.ood, list(network.kind.layers)
    encoder = Encoder(network, [parse_code(f"{network.name}@{layer}") for layer in layers], runtime)
    made = dict(zip(layers, encoder.encode_images(images, folder, layers), strict=True))
    if prepared.labelled:
        labels = images.label_array()
        return {layer: evaluate_class_retrieval(codes, labels) for layer, codes in made.items()}
    viewed = np.repeat(_viewed(len(images)), len(KINDS))
    with shared_folder() as place:
        # the first rank makes the pixels, and all open them
        Team.current().lead(lambda: len(view_images(images, viewed, place, REFERENCE_SEED)))
        views = view_images(images, viewed, place, REFERENCE_SEED)
        of_views = encoder.encode_images(views, place, layers)
        groups = np.concatenate([np.arange(len(images)), viewed])
        return {
            layer: _by_views(
                codes.spec, np.concatenate([codes.values, of_views[number].values]), groups
            )
            for number, (layer, codes) in enumerate(made.items())
        }


def _viewed(count: int) -> Rows:
    """Rows of the images that have views and are the queries."""
    generator = np.random.default_rng(REFERENCE_SEED)
    return np.sort(generator.permutation(count)[:MOST_VIEWED])


def _by_views(spec: CodeSpec, values: npt.NDArray[np.float32], groups: Rows) -> ClassRetrieval:
    """Each viewed image is searched for its views, among all images and views.

    Args:
        values: float32 n×d, images and then views.
        groups: int64 n, the image that each is, or is a view of.
    """
    queries = np.flatnonzero(np.bincount(groups) > 1)
    database = Database.of(values)
    relevance = ClassRelevance(groups[queries], groups, queries)
    ranks = team_ranks(database.values[queries], database, relevance)
    first = queries[:SHOWN_QUERIES]
    near = search_exact(database.values[first], database, SHOWN_NEIGHBOURS, exclude=first)
    return class_retrieval(spec, ranks, near)
