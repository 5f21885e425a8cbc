"""Contributions add up, equal plain loops, and point at what matters when it is covered."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from made import make_images
from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.explaining import Explainer, Explanation, Side, occlude
from neuralcodes.codes.pooling import pool
from neuralcodes.codes.spec import parse_code
from neuralcodes.codes.transforms.base import Transform
from neuralcodes.codes.transforms.chain import fit_transform
from neuralcodes.codes.transforms.fitted import FittedOn, save_fitted, transform_file
from neuralcodes.codes.transforms.training import Training
from neuralcodes.common.errors import UserError
from neuralcodes.images.decode import decode
from neuralcodes.networks.opened import OpenNetwork, open_network, save_network
from neuralcodes.networks.registry import NetworkKind, get_network
from neuralcodes.networks.runtime import choose_runtime
from neuralcodes.networks.taps import Tap
from painted_networks import TokenNetwork

RUNTIME = choose_runtime("cpu", "fp32")
POOLINGS = ["mac", "spoc", "gem", "gem2.5", "crow", "rmac"]


def trained(pixels: np.ndarray, labels: np.ndarray, epochs: int = 6) -> OpenNetwork:
    torch.manual_seed(3)
    kind = get_network("small")
    module = kind.build(10).train()
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    inputs = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    targets = torch.from_numpy(labels).long()
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs)).split(32):
            loss = nn.functional.cross_entropy(module(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return OpenNetwork.of("small", kind, module, 10)


def digits(count: int = 40) -> np.ndarray:
    """Scanned digits, uint8 n×16×16×3."""
    values = load_digits().images[:count]
    small = [Image.fromarray((v * 15.9).astype(np.uint8)).resize((16, 16)) for v in values]
    return np.stack([np.asarray(image.convert("RGB")) for image in small])


@pytest.fixture(scope="module")
def network() -> OpenNetwork:
    """Trained on digits, so that its codes mean something."""
    return trained(digits(600), load_digits().target[:600])


@pytest.fixture(scope="module")
def practised() -> OpenNetwork:
    """Trained so long that what its heat says is the same with one thread and with two."""
    return trained(digits(600), load_digits().target[:600], epochs=30)


def encoder_of(network: OpenNetwork, code: str) -> Encoder:
    return Encoder(network, [parse_code(f"small@{code}")], RUNTIME)


def explain(network: OpenNetwork, code: str, one: int = 0, other: int = 10) -> Explanation:
    pixels = digits()
    return Explainer(encoder_of(network, code)).explain(pixels[one], pixels[other])


def total(side: Side) -> float:
    return float(side.parts.sum(dtype=np.float64))


@pytest.mark.parametrize("code", ["L5", "conv3", *(f"relu5/{name}" for name in POOLINGS)])
@pytest.mark.parametrize("pair", [(0, 10), (1, 2), (7, 7)])
def test_places_add_up_to_the_similarity(
    network: OpenNetwork, code: str, pair: tuple[int, int]
) -> None:
    found = explain(network, code, *pair)
    codes = encoder_of(network, code).encode(digits()[list(pair)])[0].astype(np.float64)
    assert found.similarity == pytest.approx(float(codes[0] @ codes[1]), abs=1e-5)
    assert found.distance == pytest.approx(float(np.linalg.norm(codes[0] - codes[1])), abs=1e-4)
    assert found.distance**2 == pytest.approx(2 - 2 * found.similarity, abs=1e-5)
    for side in (found.query, found.result):
        assert total(side) == pytest.approx(found.similarity, abs=1e-4)
        assert float(side.heat.sum(dtype=np.float64)) == pytest.approx(total(side), abs=1e-5)
        assert (side.heat.shape, side.heat.dtype) == ((16, 16), np.float32)
    assert found.exact


def test_plain_loops_give_the_same_places(network: OpenNetwork) -> None:
    pixels = digits()[[0, 10]]
    encoder = encoder_of(network, "relu5/spoc")
    with torch.no_grad():
        maps = Tap(encoder.module, ["relu5"])(encoder.inputs(pixels))["relu5"].double().numpy()
    channels, height, width = maps.shape[1:]
    pooled = {
        "spoc": maps.mean((2, 3)),
        "mac": maps.max((2, 3)),
        "gem": (np.maximum(maps, 1e-6) ** 3).mean((2, 3)) ** (1 / 3),
    }
    for name, vectors in pooled.items():
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        found = explain(network, f"relu5/{name}")
        expected = np.zeros((height, width))
        for c in range(channels):
            carried = unit[0, c] * unit[1, c]
            values = maps[0, c]
            if name == "mac":
                hit = values == values.max()
                share = hit / hit.sum() if values.max() > 0 else np.zeros_like(values)
            else:
                power = np.maximum(values, 0) ** (3 if name == "gem" else 1)
                share = power / power.sum() if power.sum() > 0 else np.zeros_like(values)
            expected += carried * share
        np.testing.assert_allclose(found.query.parts, expected, atol=1e-5)
    flat = maps.reshape(2, channels, -1)
    unit = flat / np.linalg.norm(flat.reshape(2, -1), axis=1)[:, None, None]
    both = (unit[0] * unit[1]).sum(0).reshape(height, width)
    found = explain(network, "relu5")
    np.testing.assert_allclose(found.query.parts, both, atol=1e-6)
    np.testing.assert_allclose(found.result.parts, both, atol=1e-6)


@pytest.mark.parametrize("code", ["L6", "L7"])
def test_behind_dense_layers_only_biases_are_left_over(network: OpenNetwork, code: str) -> None:
    found = explain(network, code)
    assert found.layer == "relu5"
    assert found.query.parts.any()
    assert not found.exact  # the biases belong to no place
    kind = get_network("small")
    plain = kind.build(10)
    plain.load_state_dict(
        {k: v * 0 if k.endswith("bias") else v for k, v in network.module.state_dict().items()}
    )
    without = explain(OpenNetwork.of("small", kind, plain, 10), code)
    assert without.exact
    assert total(without.query) == pytest.approx(without.similarity, abs=1e-4)


@pytest.mark.parametrize("layer", ["conv1", "conv2", "pool2", "relu3", "conv5", "relu5"])
def test_any_layer_with_a_map(network: OpenNetwork, layer: str) -> None:
    pixels = digits()
    found = Explainer(encoder_of(network, "L6")).explain(pixels[0], pixels[10], layer)
    assert found.layer == layer
    assert found.query.parts.shape == {"conv1": (16, 16), "conv2": (16, 16), "relu5": (4, 4)}.get(
        layer, (8, 8)
    )
    # the network computes what it did: nothing was written into what went on
    assert found.similarity == pytest.approx(explain(network, "L6").similarity, abs=1e-6)
    assert all(not module._forward_hooks for module in network.module.modules())


def test_layers_that_cannot_be_shown(network: OpenNetwork) -> None:
    pixels = digits()
    explainer = Explainer(encoder_of(network, "relu5/gem"))
    for layer, words in (("L6", "has no map"), ("nothing", "unknown layer"), ("dense7", "no map")):
        with pytest.raises(UserError, match=words):
            explainer.explain(pixels[0], pixels[1], layer)
    dead = get_network("small").build(4)
    with torch.no_grad():
        for parameter in dead.parameters():
            parameter.zero_()
    with pytest.raises(UserError, match="zero"):
        explain(OpenNetwork.of("small", get_network("small"), dead, 4), "L6")


@pytest.fixture(scope="module")
def fitted(network: OpenNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file with transforms beside it."""
    path = tmp_path_factory.mktemp("fitted") / "small.safetensors"
    save_network(path, network)
    images = make_images(300, 5)
    for layer in ("L6", "relu5/spoc"):
        names: tuple[str, ...] = ()
        for name in ("pca12", "whiten8", "int8"):
            code = "/".join((f"{path}@{layer}", *names))
            encoder = Encoder(open_network(str(path)), [parse_code(code)], RUNTIME)
            values = encoder.encode(images.read(np.arange(300)))[0]
            on = FittedOn("made", images.fingerprint(), 300, False, 0)
            names = (*names, name)
            made = fit_transform(encoder.specs[0], name, Training(values), on)
            save_fitted(transform_file(encoder.specs[0], names), made)
    return path


@pytest.mark.parametrize("chain", ["pca12", "pca12/whiten8"])
def test_transforms_are_seen_through(fitted: Path, chain: str) -> None:
    """A linear map adds a constant only; it is that of the subtracted means, found by algebra."""
    pixels = digits()
    code = f"{fitted}@relu5/spoc/{chain}"
    encoder = Encoder(open_network(str(fitted)), [parse_code(code)], RUNTIME)
    found = Explainer(encoder).explain(pixels[0], pixels[10])
    codes = encoder.encode(pixels[[0, 10]])[0].astype(np.float64)
    assert found.similarity == pytest.approx(float(codes[0] @ codes[1]), abs=1e-5)
    base = Encoder(open_network(str(fitted)), [parse_code(f"{fitted}@relu5/spoc")], RUNTIME)
    values = base.encode(pixels[[0, 10]])[0][0].astype(np.float64)
    constant = np.zeros_like(values)
    for step in encoder.chains[0].steps:
        matrix = step.transform.tensors["matrix"].astype(np.float64)
        mean = step.transform.tensors["mean"].astype(np.float64)
        values, constant = matrix @ (values - mean), matrix @ (constant - mean)
        values, constant = (v / np.linalg.norm(values) for v in (values, constant))
    assert found.query.rest == pytest.approx(float(constant @ codes[1]), abs=1e-4)


def test_before_a_quantiser_and_says_so(fitted: Path) -> None:
    pixels = digits()
    whole = f"{fitted}@L6/pca12/whiten8/int8"
    made = []
    for code in (whole, whole.removesuffix("/int8")):
        encoder = Encoder(open_network(str(fitted)), [parse_code(code)], RUNTIME)
        made.append(Explainer(encoder).explain(pixels[0], pixels[10]))
    assert made[0].code == made[1].code == whole.removesuffix("/int8")
    assert "before int8" in made[0].note
    assert made[1].note == ""
    np.testing.assert_array_equal(made[0].query.parts, made[1].query.parts)


def test_a_transform_that_cannot_be_seen_through(network: OpenNetwork) -> None:
    class Odd(Transform):
        kind = "odd"

        fit = apply = dims = None  # type: ignore[assignment]

    encoder = encoder_of(network, "L6")
    step = replace_step(encoder, Odd.__new__(Odd))
    with pytest.raises(UserError, match=r"odd3 cannot be seen through; explain small@L6 instead"):
        Explainer(step)


def replace_step(encoder: Encoder, transform: Transform) -> Encoder:
    from types import SimpleNamespace

    object.__setattr__(transform, "number", 3)
    before = encoder.chains[0].spec
    spec = replace(before, name=f"{before.name}/odd3")
    steps = (SimpleNamespace(transform=transform, before=before, spec=spec),)
    encoder.chains = (SimpleNamespace(steps=steps, spec=spec),)  # type: ignore[assignment]
    return encoder


@pytest.mark.parametrize("pooling", ["", "/spoc", "/gem", "/cls"])
def test_tokens_lie_as_a_grid(pooling: str) -> None:
    torch.manual_seed(0)
    kind = NetworkKind("tokens", lambda classes: TokenNetwork(), {}, "norm", (16, 16))
    network = OpenNetwork.of("tokens", kind, TokenNetwork(), 1)
    encoder = Encoder(network, [parse_code(f"tokens@norm{pooling}")], RUNTIME)
    found = Explainer(encoder).explain(*digits()[[0, 10]])
    assert found.query.parts.shape == (4, 4)
    assert found.query.parts.any()
    # places matter to the class token only before the attention
    assert found.layer == ("patches" if pooling == "/cls" else "norm")
    if pooling == "/spoc":
        assert found.exact
    if pooling == "":  # the class token's own part is no place's
        assert total(found.query) + found.query.rest == pytest.approx(found.similarity, abs=1e-6)
        assert abs(found.query.rest) > 1e-3


def test_frozen_poolings_are_the_poolings() -> None:
    maps = torch.rand(2, 5, 6, 9).sub(0.3).relu()
    for name in ["flatten", *POOLINGS]:
        plain, frozen = pool(name, maps, "x"), pool(name, maps, "x", frozen=True)
        torch.testing.assert_close(plain, frozen)


def occlusion(
    network: OpenNetwork, pixels: np.ndarray, pairs: list[tuple[int, int]], code: str, side: float
) -> tuple[float, float]:
    """Share of other windows that lower the similarity less than the hottest does: its mean over
    pairs, and how many standard errors that is above a half."""
    explainer = Explainer(Encoder(network, [parse_code(f"small@{code}")], RUNTIME))
    beaten = []
    for one, other in pairs:
        found = explainer.explain(pixels[one], pixels[other])
        covered = [occlude(explainer, found, side=side, on_query=query) for query in (True, False)]
        beaten.append(np.mean([c.beats for c in covered]))
    mean = float(np.mean(beaten))
    return mean, (mean - 0.5) / float(np.std(beaten) / np.sqrt(len(beaten)))


@pytest.mark.parametrize(("code", "side"), [("relu3", 0.25), ("relu2/mac", 0.4)])
def test_covering_the_hottest_region_lowers_the_similarity_most(
    practised: OpenNetwork, code: str, side: float
) -> None:
    labels = load_digits().target[:40]
    pairs = [(a, b) for a in range(40) for b in range(a + 1, 40) if labels[a] == labels[b]][:40]
    beaten, errors = occlusion(practised, digits(), pairs, code, side)
    assert beaten > 0.6
    assert errors > 2.5


@pytest.fixture(scope="module")
def photographs(caltech_path: Path) -> np.ndarray:
    """30 of each of 10 classes, uint8 300×16×16×3."""
    with zipfile.ZipFile(caltech_path) as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".jpg"))[:300]
        return np.stack([decode(archive.read(name), (16, 16)) for name in names])


@pytest.fixture(scope="module")
def seen(photographs: np.ndarray) -> OpenNetwork:
    """Trained for so long that processors, which round differently, agree: after 12 epochs the
    heat of one was hardly better than chance, of another clearly."""
    return trained(photographs, np.repeat(np.arange(10), 30), epochs=40)


@pytest.mark.parametrize(("code", "side"), [("L5", 0.4), ("L6", 0.4), ("relu3", 0.25)])
def test_so_it_does_on_photographs(
    seen: OpenNetwork, photographs: np.ndarray, code: str, side: float
) -> None:
    pairs = [(n, n + 1) for n in range(0, 300, 8)]
    beaten, errors = occlusion(seen, photographs, pairs, code, side)
    assert beaten > 0.57
    assert errors > 2.5


def test_covering_is_what_it_says(network: OpenNetwork) -> None:
    """The drop of a window is that of the similarity of codes made anew."""
    pixels = digits()
    encoder = encoder_of(network, "L5")
    explainer = Explainer(encoder)
    found = explainer.explain(pixels[0], pixels[10])
    whole = occlude(explainer, found, side=1.0, windows=1)
    blank = np.broadcast_to(pixels[10].reshape(-1, 3).mean(0).astype(np.uint8), (16, 16, 3))
    codes = encoder.encode(np.stack([pixels[0], pixels[10], blank]))[0]
    expected = float(codes[0] @ codes[1] - codes[0] @ codes[2])
    assert whole.drop == pytest.approx(expected, abs=1e-5)
    assert whole.others == pytest.approx([expected], abs=1e-5)
    assert isinstance(encoder.module, nn.Module)
