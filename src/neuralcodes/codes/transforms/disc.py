"""`discN`: a projection to N dimensions learned from pairs of images that match and that do not.

The paper's discriminative dimensionality reduction (Babenko et al. 2014, section 3.4): a linear
map, behind a PCA, that makes the distances between matching photographs small and others large.
How it is learned follows Simonyan et al. 2013 ("Fisher Vector Faces in the Wild"), which the paper
cites for it as we recall: a pair at squared distance D costs max(0, 1 - y (b - D)), with y = 1 for
a matching pair and -1 for another, and the threshold b learned too.

Ours: the optimiser, and where it starts: at the PCA or at Fisher's discriminants with much
shrinkage, whichever tells best the pairs of classes (without labels, of images) that were held out,
each once. Held-out pairs also say how long to learn. Then all is learned from, in the same way.
What carries over to new classes differs by layer: measured in docs/compression.md.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from neuralcodes.codes.transforms.base import Linear
from neuralcodes.codes.transforms.registry import register
from neuralcodes.codes.transforms.training import Training

INNER = 512  # principal components, at most, within which it is learned


@register("disc", "N")
class Discriminative(Linear):
    """See the module."""

    needs_pairs = True

    @classmethod
    def fit(cls, training: Training, number: int | None) -> Self:
        """See `Transform.fit`."""
        from neuralcodes.codes.transforms.margin import learn_projection

        assert number is not None
        training.principal(number, f"disc{number}")  # refuses what cannot be
        inner = training.principal_up_to(max(INNER, number))
        learned = learn_projection(training, inner, number)
        return cls(
            number,
            {
                "mean": inner.mean.astype(np.float32),
                "matrix": (learned.weights @ inner.components).astype(np.float32),
            },
            {
                "pairs": len(training.pairs().matching),
                "start": learned.start,
                "rounds": learned.rounds,
                "auc_of_pca": learned.auc_before,
                "auc": learned.auc,
            },
        )
