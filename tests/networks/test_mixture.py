"""The code of `compact`, made of a learnt one, a fitted one and likenesses (`Mixture`)."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from neuralcodes.networks.compact import ANCHORS, CODE, LEARNT, Mixture
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.taps import Tap

POOLED = 30


def fitted(anchors: int, seed: int = 0) -> Mixture:
    """One with random parts, of which so many anchors are used."""
    draw = torch.Generator().manual_seed(seed)
    code = Mixture(POOLED).eval()
    for name, buffer in code.named_buffers():
        buffer.copy_(0.3 * torch.randn(buffer.shape, generator=draw))
        if name == "biases":
            buffer.copy_(torch.where(torch.arange(ANCHORS) < anchors, 0.0, -30_000.0))
    return code


def test_until_it_is_fitted_the_code_is_the_learnt_one() -> None:
    pooled, learnt = torch.rand(5, POOLED), torch.randn(5, CODE)
    code = Mixture(POOLED)
    assert code.train()(pooled, learnt) is learnt
    torch.testing.assert_close(F.normalize(code.eval()(pooled, learnt)), F.normalize(learnt))


def test_while_it_trains_the_code_is_the_learnt_one() -> None:
    pooled, learnt = torch.rand(5, POOLED), torch.randn(5, CODE)
    code = fitted(10)
    assert (code.eval()(pooled, learnt) - learnt).norm() > 1
    assert code.train()(pooled, learnt) is learnt


def test_there_is_nothing_to_learn_in_it() -> None:
    assert not list(Mixture(POOLED).parameters())


@given(seed=st.integers(0, 1000), anchors=st.integers(1, ANCHORS))
def test_likenesses_are_roots_of_shares_and_unused_anchors_have_none(
    seed: int, anchors: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    pooled = torch.rand(4, POOLED, generator=draw)
    learnt = torch.randn(4, CODE, generator=draw)
    parts = fitted(anchors, seed).parts(pooled, learnt)
    shares = parts[:, 2 * CODE :].square()
    torch.testing.assert_close(shares.sum(1), torch.ones(4))
    assert (shares[:, anchors:] == 0).all()
    torch.testing.assert_close(parts[:, :CODE].norm(dim=1), torch.ones(4))
    torch.testing.assert_close(parts[:, CODE : 2 * CODE].norm(dim=1), torch.full((4,), LEARNT))


def test_gradients_are_finite_beside_unused_anchors() -> None:
    pooled = torch.rand(3, POOLED, requires_grad=True)
    learnt = torch.randn(3, CODE, requires_grad=True)
    fitted(7)(pooled, learnt).square().sum().backward()
    for given_in in (pooled, learnt):
        assert given_in.grad is not None and given_in.grad.isfinite().all() and given_in.grad.any()


@pytest.mark.parametrize("scale", [0.1, 7.0])
def test_lengths_of_what_comes_in_do_not_count(scale: float) -> None:
    pooled, learnt = torch.rand(3, POOLED), torch.randn(3, CODE)
    code = fitted(7)
    code.get_buffer("offset").zero_()
    torch.testing.assert_close(code(scale * pooled, scale * learnt), code(pooled, learnt))


def test_classes_are_told_from_the_learnt_code() -> None:
    torch.manual_seed(0)
    network = get_network("compact").build(5).eval()
    with torch.no_grad():
        network.get_buffer("code.mix").zero_()  # whatever the code is
        seen = Tap(network, ["learnt", "code", ""])(torch.rand(2, 3, 32, 32))
        assert not seen["code"].any()
        torch.testing.assert_close(seen[""], network.get_submodule("classifier")(seen["learnt"]))
