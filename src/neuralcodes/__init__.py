"""neuralcodes: image retrieval with neural codes.

Folders in the order that data takes: images → networks → training → codes → index → ranking →
evaluation → choosing → collection → engines → reports → experiments → serve → cli. Each imports
only from those before it; `common` serves all.

`import neuralcodes` is fast: torch and the rest load when something that needs them is used. What
it does is logged under `neuralcodes`, which nobody hears who does not listen.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuralcodes.codes.encoder import Encoder as Encoder
    from neuralcodes.codes.spec import CodeSpec as CodeSpec
    from neuralcodes.codes.spec import parse_code as parse_code
    from neuralcodes.codes.store import Codes as Codes
    from neuralcodes.codes.store import load_codes as load_codes
    from neuralcodes.codes.store import save_codes as save_codes
    from neuralcodes.collection.collection import Collection as Collection
    from neuralcodes.common.errors import UserError as UserError
    from neuralcodes.estimator import NeuralCodes as NeuralCodes
    from neuralcodes.evaluation.class_retrieval import (
        evaluate_class_retrieval as evaluate_class_retrieval,
    )
    from neuralcodes.experiments.configuration import Configuration as Configuration
    from neuralcodes.experiments.configuration import prepare as prepare
    from neuralcodes.experiments.explaining import explain as explain
    from neuralcodes.images.classfolders import class_folders as class_folders
    from neuralcodes.images.digits import digits as digits
    from neuralcodes.images.imageset import ImageSet as ImageSet
    from neuralcodes.images.splits import reference_split as reference_split
    from neuralcodes.images.tinyimagenet import tiny_imagenet as tiny_imagenet
    from neuralcodes.index.exact import search_exact as search_exact
    from neuralcodes.networks.opened import OpenNetwork as OpenNetwork
    from neuralcodes.networks.opened import open_network as open_network
    from neuralcodes.networks.registry import get_network as get_network
    from neuralcodes.networks.runtime import choose_runtime as choose_runtime
    from neuralcodes.networks.summary import layer_table as layer_table
    from neuralcodes.networks.summary import render_table as render_table
    from neuralcodes.reports.content import RunContent as RunContent
    from neuralcodes.reports.page import answers as answers
    from neuralcodes.reports.pictures import neighbours_figure as neighbours_figure
    from neuralcodes.reports.pictures import samples_figure as samples_figure
    from neuralcodes.reports.plots import history_figure as history_figure
    from neuralcodes.reports.plots import precision_recall_figure as precision_recall_figure
    from neuralcodes.reports.results import work_out as work_out
    from neuralcodes.reports.style import png_bytes as png_bytes
    from neuralcodes.training.batches import Batches as Batches
    from neuralcodes.training.classification import evaluate_classifier as evaluate_classifier
    from neuralcodes.training.loop import train as train
    from neuralcodes.training.recipe import Recipe as Recipe

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())

_HOME = {
    "Batches": "training.batches",
    "CodeSpec": "codes.spec",
    "Codes": "codes.store",
    "Configuration": "experiments.configuration",
    "Collection": "collection.collection",
    "Encoder": "codes.encoder",
    "ImageSet": "images.imageset",
    "NeuralCodes": "estimator",
    "OpenNetwork": "networks.opened",
    "Recipe": "training.recipe",
    "RunContent": "reports.content",
    "UserError": "common.errors",
    "answers": "reports.page",
    "choose_runtime": "networks.runtime",
    "class_folders": "images.classfolders",
    "digits": "images.digits",
    "evaluate_class_retrieval": "evaluation.class_retrieval",
    "evaluate_classifier": "training.classification",
    "explain": "experiments.explaining",
    "get_network": "networks.registry",
    "history_figure": "reports.plots",
    "layer_table": "networks.summary",
    "load_codes": "codes.store",
    "neighbours_figure": "reports.pictures",
    "open_network": "networks.opened",
    "parse_code": "codes.spec",
    "png_bytes": "reports.style",
    "precision_recall_figure": "reports.plots",
    "prepare": "experiments.configuration",
    "reference_split": "images.splits",
    "render_table": "networks.summary",
    "samples_figure": "reports.pictures",
    "save_codes": "codes.store",
    "search_exact": "index.exact",
    "tiny_imagenet": "images.tinyimagenet",
    "train": "training.loop",
    "work_out": "reports.results",
}

__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'neuralcodes' has no attribute {name!r}")
    return getattr(importlib.import_module(f"neuralcodes.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
