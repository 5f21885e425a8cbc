"""Training a network on labelled images: recipe, loop, checkpoints, history.

In: image sets with labels, a network.  Out: weights and a history, one checkpoint an epoch.
Public: `Recipe`, `train`, `evaluate_classifier`, `History`.
"""
