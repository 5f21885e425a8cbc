"""The reference network in Keras, on TensorFlow or PyTorch: contestants for `worker.py`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

CLASSES = 190
LAYERS = ("L5", "L6", "L7")


def _keras(backend: str, precision: str) -> Any:
    os.environ["KERAS_BACKEND"] = backend
    import keras

    if precision == "bf16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    return keras


def _network(keras: Any) -> Any:
    """As `neuralcodes.networks.reference`; L5, L6 and L7 by these names."""
    layers = keras.layers

    def convolution(width: int, side: int) -> Any:
        return layers.Conv2D(width, side, padding="same", activation="relu")

    return keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            convolution(96, 4), layers.MaxPooling2D(), convolution(192, 5), layers.MaxPooling2D(),
            convolution(288, 3), convolution(288, 3), convolution(256, 3), layers.MaxPooling2D(),
            layers.Flatten(name="L5"), layers.Dropout(0.5),
            layers.Dense(2048, activation="relu", name="L6"), layers.Dropout(0.5),
            layers.Dense(2048, activation="relu", name="L7"),
            layers.Dense(CLASSES, dtype="float32"),
        ]
    )  # fmt: skip


def training(
    backend: str, precision: str, batch: int, steps: int, jit: bool = False
) -> Callable[[], None]:
    """Steps of Adam with amsgrad on noise."""
    keras = _keras(backend, precision)
    network = _network(keras)
    network.compile(
        optimizer=keras.optimizers.Adam(1e-4, epsilon=1e-7, amsgrad=True),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"], jit_compile=jit,
    )  # fmt: skip
    generator = np.random.default_rng(0)
    pixels = generator.random((batch, 64, 64, 3), dtype=np.float32)
    labels = generator.integers(CLASSES, size=batch)

    def work() -> None:
        for _ in range(steps):
            network.train_on_batch(pixels, labels)

    return work


def forward(backend: str, precision: str, batch: int, jit: bool = False) -> Callable[[], None]:
    """One pass over noise, to the logits."""
    keras = _keras(backend, precision)
    network = _network(keras)
    pixels = np.random.default_rng(0).random((batch, 64, 64, 3), dtype=np.float32)
    if backend != "tensorflow":
        network.compile(jit_compile=jit)
        return lambda: np.asarray(network.predict_on_batch(pixels)).sum()
    import tensorflow as tf

    call = tf.function(lambda values: network(values, training=False), jit_compile=jit)
    there = tf.constant(pixels)
    return lambda: call(there).numpy().sum()


def extraction(precision: str, images: str, batch: int) -> Callable[[], None]:
    """A functor of three layers over batches, as the founding experiment has it.

    Args:
        images: .npy of uint8 n×64×64×3.
    """
    keras = _keras("tensorflow", precision)
    import tensorflow as tf

    network = _network(keras)
    functor = keras.Model(network.inputs, [network.get_layer(name).output for name in LAYERS])
    call = tf.function(lambda values: functor(values, training=False))
    pixels = np.load(images, mmap_mode="r")

    def work() -> None:
        parts: list[list[Any]] = []
        for start in range(0, len(pixels), batch):
            values = tf.constant(pixels[start : start + batch].astype(np.float32) / 255)
            parts.append([tf.cast(one, tf.float32).numpy() for one in call(values)])
        for layer in zip(*parts, strict=True):
            codes = np.concatenate(layer)
            codes /= np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)

    return work


def folder(path: str, precision: str = "fp32") -> Callable[[], int]:
    """All images below a folder of class folders, decoded, as one array."""
    keras = _keras("tensorflow", precision)

    def work() -> int:
        data = keras.utils.image_dataset_from_directory(
            path, labels="inferred", image_size=(64, 64), batch_size=250, shuffle=False, verbose=0
        )
        return len(np.concatenate([pixels.numpy().astype(np.uint8) for pixels, _ in data]))

    return work
