"""Cross-entropy, accuracy and top-5 against scikit-learn; bf16 beside fp32; no leaks."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from digit_images import digit_images
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score

from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import Runtime
from neuralcodes.training.batches import Batches
from neuralcodes.training.classification import Tally, evaluate_classifier

KIND = get_network("small")
CPU = torch.device("cpu")


def network(classes: int = 10) -> torch.nn.Module:
    torch.manual_seed(0)
    built = KIND.build(classes)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.mul_(1.5)  # logits far enough apart to matter
    return built


def test_the_score_is_scikit_learns() -> None:
    images = digit_images(600)  # two whole batches and a part
    model = network().train()
    score = evaluate_classifier(model, Batches(images, KIND, Runtime(CPU, "fp32")))
    assert model.training and model.get_submodule("drop5").training
    pixels = torch.from_numpy(images.read(np.arange(600))).permute(0, 3, 1, 2) / 255.0
    with torch.no_grad():
        logits = model.eval()(pixels).double()
    chances = logits.softmax(1).numpy()
    labels = images.label_array()
    assert score.cross_entropy == pytest.approx(log_loss(labels, chances, labels=range(10)), 1e-5)
    assert score.accuracy == accuracy_score(labels, chances.argmax(1))
    assert score.top5_accuracy == top_k_accuracy_score(labels, chances, k=5, labels=range(10))
    assert set(score.to_json()) == {"cross_entropy", "accuracy", "top5_accuracy"}


def test_a_tally_over_uneven_batches_is_the_tally_over_all() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(97, 40, generator=generator)
    labels = torch.randint(40, (97,), generator=generator)
    tally = Tally(CPU)
    for some, wanted in zip(logits.split(30), labels.split(30), strict=True):
        tally.add(torch.nn.functional.cross_entropy(some, wanted), some, wanted)
    score = tally.score()
    chances = logits.softmax(1).double().numpy()
    assert score.cross_entropy == pytest.approx(
        log_loss(labels, chances / chances.sum(1, keepdims=True), labels=range(40)), 1e-5
    )
    assert score.accuracy == pytest.approx(accuracy_score(labels, chances.argmax(1)))
    assert score.top5_accuracy == pytest.approx(
        top_k_accuracy_score(labels, chances, k=5, labels=range(40))
    )


def test_with_fewer_classes_than_five_every_answer_is_among_the_best() -> None:
    tally = Tally(CPU)
    tally.add(torch.tensor(1.0), torch.eye(3), torch.tensor([0, 2, 1]))
    assert tally.score().top5_accuracy == 1.0
    assert tally.score().accuracy == pytest.approx(1 / 3)


def test_bf16_scores_as_fp32_does() -> None:
    images = digit_images(500)
    scores = [
        evaluate_classifier(network(), Batches(images, KIND, Runtime(CPU, precision)))
        for precision in ("fp32", "bf16")
    ]
    assert scores[0].cross_entropy == pytest.approx(scores[1].cross_entropy, rel=0.01)
    assert scores[0].cross_entropy != scores[1].cross_entropy
    assert scores[0].accuracy == pytest.approx(scores[1].accuracy, abs=0.03)
    assert scores[0].top5_accuracy == pytest.approx(scores[1].top5_accuracy, abs=0.03)


def test_the_score_does_not_depend_on_the_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    batches = Batches(digit_images(300), KIND, Runtime(CPU, "fp32"))
    assert evaluate_classifier(network(), batches) == evaluate_classifier(
        network(), batches, what="validation"
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_evaluation_holds_on_to_nothing() -> None:
    def resident() -> int:
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def tensors() -> int:
        return sum(issubclass(type(value), torch.Tensor) for value in gc.get_objects())

    model, batches = network(), Batches(digit_images(1000), KIND, Runtime(CPU, "fp32"))
    for _ in range(5):
        evaluate_classifier(model, batches)
    gc.collect()
    gc.disable()
    try:
        before, memory = tensors(), resident()
        for _ in range(10):  # a batch's activations are 20 MB
            evaluate_classifier(model, batches)
        assert tensors() == before
        assert resident() - memory < 30 * 2**20
    finally:
        gc.enable()
