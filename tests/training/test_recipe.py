"""The recipe, its optimiser and its stopping rule, each against a definition written here."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.training.history import Epoch, best_epoch
from neuralcodes.training.loop import stop_reason
from neuralcodes.training.optimizer import make_optimizer
from neuralcodes.training.recipe import Recipe


def test_the_founding_experiments_recipe() -> None:
    recipe = Recipe()
    assert json.loads(json.dumps(recipe.to_json())) == {
        "learning_rate": 1e-4, "amsgrad": True, "epsilon": 1e-7, "batch_size": 100,
        "max_epochs": 100, "patience": 0, "keep": "last", "seed": 0,
    }  # fmt: skip
    assert Recipe(**recipe.to_json()) == recipe


@pytest.mark.parametrize(
    ("field", "value", "option"),
    [
        ("max_epochs", 0, "--epochs 0"),
        ("batch_size", 0, "--batch-size 0"),
        ("learning_rate", 0.0, "--learning-rate 0.0"),
        ("learning_rate", math.nan, "--learning-rate nan"),
        ("learning_rate", math.inf, "--learning-rate inf"),
        ("epsilon", -1e-7, "--epsilon -1e-07"),
        ("patience", -1, "--patience -1"),
        ("keep", "first", "--keep first"),
        ("seed", -1, "--seed -1"),
        ("seed", 2**32, f"--seed {2**32}"),
    ],
)
def test_what_a_recipe_refuses(field: str, value: Any, option: str) -> None:
    with pytest.raises(UserError) as caught:
        Recipe(**{field: value})
    assert str(caught.value).startswith(option)
    assert "\n" not in str(caught.value)


def adam(gradients: list[np.ndarray], start: np.ndarray, recipe: Recipe, keras: bool) -> np.ndarray:
    """Adam (Kingma & Ba 2015) with AMSGrad's maximum (Reddi et al. 2018), in float64.

    Both libraries correct the bias after the maximum. PyTorch adds epsilon to the corrected
    root; Keras folds the correction into the rate and adds epsilon to the uncorrected root.
    """
    beta1, beta2 = 0.9, 0.999
    x, m, v, largest = start.copy(), 0.0, 0.0, np.zeros_like(start)
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        largest = np.maximum(largest, v) if recipe.amsgrad else v
        first, second = 1 - beta1**t, math.sqrt(1 - beta2**t)
        if keras:
            rate = recipe.learning_rate * second / first
            x = x - rate * m / (np.sqrt(largest) + recipe.epsilon)
        else:
            x = x - recipe.learning_rate * (m / first) / (
                np.sqrt(largest) / second + recipe.epsilon
            )
    return x


def our_steps(gradients: list[np.ndarray], start: np.ndarray, recipe: Recipe) -> np.ndarray:
    layer = nn.Conv2d(3, 4, 2, bias=False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(start))
    optimizer = make_optimizer(layer, recipe)
    for gradient in gradients:
        layer.weight.grad = torch.empty_like(layer.weight).copy_(torch.from_numpy(gradient))
        optimizer.step()
    return layer.weight.detach().numpy()


def fading_gradients() -> list[np.ndarray]:
    """Large at first and small later, where the maximum decides."""
    generator = np.random.default_rng(0)
    sizes = [1.0] * 5 + [0.1] * 300
    return [generator.normal(size=(4, 3, 2, 2)).astype(np.float32) * size for size in sizes]


START = np.random.default_rng(1).normal(size=(4, 3, 2, 2)).astype(np.float32)


@pytest.mark.parametrize("amsgrad", [True, False])
def test_steps_are_adams(amsgrad: bool) -> None:
    recipe = Recipe(learning_rate=0.01, amsgrad=amsgrad)
    gradients = fading_gradients()
    ours = our_steps(gradients, START, recipe)
    wanted = adam(gradients, START.astype(np.float64), recipe, keras=False)
    other = adam(
        gradients, START.astype(np.float64), replace(recipe, amsgrad=not amsgrad), keras=False
    )
    np.testing.assert_allclose(ours, wanted, atol=5e-6, rtol=5e-6)
    assert np.abs(wanted - other).max() > 1e-3  # the test tells the two apart
    keras = adam(gradients, START.astype(np.float64), recipe, keras=True)
    np.testing.assert_allclose(ours, keras, atol=1e-4)


def test_keras_epsilon_counts_for_more_at_first() -> None:
    gradients = [np.full((4, 3, 2, 2), 1e-6, np.float32)]
    recipe = Recipe(learning_rate=1.0)
    ours = START - our_steps(gradients, START, recipe)
    np.testing.assert_allclose(ours, 1e-6 / (1e-6 + 1e-7), rtol=1e-4)
    keras = START - adam(gradients, START.astype(np.float64), recipe, keras=True)
    np.testing.assert_allclose(keras, 1e-6 / (1e-6 + 1e-7 / math.sqrt(0.001)), rtol=1e-6)


class KerasEarlyStopping:
    """keras.callbacks.EarlyStopping(monitor="val_loss", patience=…), min_delta 0, as Keras 3
    has it."""

    def __init__(self, patience: int) -> None:
        self.patience, self.wait, self.best, self.stop = patience, 0, math.inf, False

    def on_epoch_end(self, epoch: int, val_loss: float) -> None:
        self.wait += 1
        if val_loss < self.best:
            self.best, self.wait = val_loss, 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stop = True


def history(losses: list[float]) -> list[Epoch]:
    return [Epoch(n, 1, 0, 0, loss, 0, 0, 1, 1) for n, loss in enumerate(losses, 1)]


def epochs_run(losses: list[float], patience: int) -> int:
    recipe = Recipe(max_epochs=len(losses), patience=patience)
    for done in range(len(losses) + 1):
        if stop_reason(history(losses[:done]), recipe):
            return done
    raise AssertionError("never stopped")


@pytest.mark.parametrize(("patience", "wanted"), [(0, 3), (1, 3), (2, 6), (3, 8)])
def test_stopping_by_hand(patience: int, wanted: int) -> None:
    assert epochs_run([5, 4, 4, 3, 3.5, 3, 2, 9], patience) == wanted


@given(
    st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0]) | st.floats(0, 9), min_size=1, max_size=12),
    st.integers(0, 4),
)
def test_stopping_is_keras(losses: list[float], patience: int) -> None:
    keras, run = KerasEarlyStopping(patience), 0
    while run < len(losses) and not keras.stop:
        keras.on_epoch_end(run, losses[run])
        run += 1
    assert epochs_run(losses, patience) == run


def test_the_reason_is_said() -> None:
    assert stop_reason([], Recipe()) == ""
    assert stop_reason(history([2.0, 1.0]), Recipe(max_epochs=2)) == "all 2 epoch(s) done"
    assert "has not fallen for 2 epoch(s) (patience 2)" in stop_reason(
        history([1.0, 2.0, 1.0]), Recipe(patience=2)
    )
    assert best_epoch(history([2.0, 1.0, 1.0])) == 2
