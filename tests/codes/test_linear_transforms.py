"""PCA, whitening and learned whitening against scikit-learn and plain formulas."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import decomposition
from transform_data import class_codes, mean_ap

from made import unit_rows
from neuralcodes.codes.transforms import principal
from neuralcodes.codes.transforms.disc import Discriminative
from neuralcodes.codes.transforms.lw import LearnedWhitening
from neuralcodes.codes.transforms.margin import hold_out
from neuralcodes.codes.transforms.pca import PCA
from neuralcodes.codes.transforms.training import Training
from neuralcodes.codes.transforms.whiten import Whiten
from neuralcodes.common.errors import UserError


def normed(values):
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def same_up_to_sign(one, other, atol):
    signs = np.sign((one * other).sum(axis=0))
    np.testing.assert_allclose(one * signs, other, atol=atol)


@pytest.mark.parametrize(("count", "dims"), [(300, 40), (30, 200), (60, 61), (61, 60)])
def test_pca_equals_scikit_learn(count, dims):
    values, _ = class_codes(count, dims)
    new, _ = class_codes(50, dims, seed=9)
    wanted = min(count - 1, dims, 16)
    fitted = PCA.fit(Training(values), wanted)
    reference = decomposition.PCA(wanted, svd_solver="full").fit(values.astype(np.float64))
    found = fitted.apply(new)
    assert found.dtype == np.float32
    assert found.shape == (50, wanted)
    same_up_to_sign(found, normed(reference.transform(new)), 2e-5)
    assert fitted.facts["variance_kept"] == pytest.approx(
        reference.explained_variance_ratio_.sum(), rel=1e-5
    )


@pytest.mark.parametrize(("count", "dims"), [(300, 40), (30, 200)])
def test_whitening_equals_scikit_learn(count, dims):
    values, _ = class_codes(count, dims)
    fitted = Whiten.fit(Training(values), 12)
    reference = decomposition.PCA(12, svd_solver="full", whiten=True).fit(values.astype(np.float64))
    same_up_to_sign(fitted.apply(values), normed(reference.transform(values)), 5e-5)
    white = (values - fitted.tensors["mean"]) @ fitted.tensors["matrix"].T
    np.testing.assert_allclose(np.cov(white.T), np.eye(12), atol=1e-3)


@settings(max_examples=40)
@given(st.integers(3, 40), st.integers(2, 40), st.integers(0, 1000))
def test_principal_components_of_any_shape(count, dims, seed):
    values = unit_rows(count, dims, seed)
    wanted = min(count - 1, dims)
    found = principal.principal_components(values, wanted, 0)
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    singular = np.linalg.svd(centred, compute_uv=False)[:wanted]
    np.testing.assert_allclose(found.variances, singular**2 / (count - 1), atol=1e-9)
    assert found.total == pytest.approx((centred**2).sum() / (count - 1))
    rank = found.rank
    kept = found.components[:rank]
    np.testing.assert_allclose(kept @ kept.T, np.eye(rank), atol=1e-6)
    # all of the variance lies in what was found
    np.testing.assert_allclose(centred @ kept.T @ kept, centred, atol=1e-5)
    largest = np.abs(kept).argmax(axis=1)
    assert (kept[np.arange(rank), largest] > 0).all()


def test_blocks_change_nothing(monkeypatch):
    for count, dims in ((200, 30), (30, 200)):
        values, _ = class_codes(count, dims)
        whole = principal.principal_components(values, 10, 0)
        monkeypatch.setattr(principal, "BLOCK_BYTES", 8 * 7 * min(count, dims))
        pieces = principal.principal_components(values, 10, 0)
        monkeypatch.undo()
        np.testing.assert_allclose(whole.components, pieces.components, atol=1e-9)
        np.testing.assert_allclose(whole.mean, pieces.mean, atol=1e-12)


def test_of_too_many_rows_a_seeded_choice_is_used(monkeypatch):
    values, _ = class_codes(400, 90)
    monkeypatch.setattr(principal, "SIDE", 80)
    one, same, other = (principal.principal_components(values, 5, seed) for seed in (0, 0, 1))
    assert one.rows == 80
    assert np.array_equal(one.components, same.components)
    assert not np.array_equal(one.components, other.components)
    # five directions from 80 of 400 rows hold most of what five from all of them would
    centred = values - values.mean(axis=0)
    held = ((centred @ one.components.T) ** 2).sum()
    assert held > 0.85 * (np.linalg.svd(centred, compute_uv=False)[:5] ** 2).sum()


def test_memory_mapped_codes_are_not_read_whole(tmp_path):
    values, _ = class_codes(100, 20)
    np.save(tmp_path / "v.npy", values)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        PCA.fit(Training(mapped), 4).tensors["matrix"],
        PCA.fit(Training(values), 4).tensors["matrix"],
    )


def test_more_dimensions_than_the_codes_have_are_refused():
    values, _ = class_codes(50, 20)
    with pytest.raises(UserError, match="pca21: the 50 codes of 20 dimensions"):
        PCA.fit(Training(values), 21)
    with pytest.raises(UserError, match=r"vary in 9 directions only.*give more images"):
        PCA.fit(Training(values[:10]), 10)
    flat = values.copy()
    flat[:, 5:] = 0
    with pytest.raises(UserError, match=r"whiten6: .* vary in 5 directions only"):
        Whiten.fit(Training(flat), 6)
    with pytest.raises(UserError, match="vary in 0 directions"):
        PCA.fit(Training(np.repeat(values[:1], 8, axis=0)), 1)


def test_whitening_does_not_blow_up_what_hardly_varies():
    values, _ = class_codes(200, 10)
    values[:, -1] = 0.1 + 1e-3 * values[:, 0] ** 2  # varies, but next to nothing
    fitted = Whiten.fit(Training(values), 10)
    lengths = np.linalg.norm(fitted.tensors["matrix"], axis=1)
    assert lengths.max() / lengths.min() <= 1001


def test_several_sizes_share_one_decomposition(monkeypatch):
    values, _ = class_codes(100, 50)
    training, calls = Training(values), []
    real = principal.principal_components
    monkeypatch.setattr(
        "neuralcodes.codes.transforms.training.principal_components",
        lambda *a: calls.append(a) or real(*a),
    )
    small, large = PCA.fit(training, 4), PCA.fit(training, 32)
    assert len(calls) == 1
    np.testing.assert_array_equal(small.tensors["matrix"], large.tensors["matrix"][:4])


def test_codes_that_are_no_numbers_or_too_few_are_refused():
    values, _ = class_codes(20, 8)
    values[13, 2] = np.nan
    with pytest.raises(UserError, match="not all finite"):
        Training(values)
    with pytest.raises(UserError, match="at least 2"):
        Training(values[:1])


def test_learned_whitening_equals_the_generalised_eigenproblem():
    """Its directions maximise spread over spread within matching pairs: C w = λ S w."""
    values, labels = class_codes(4000, 12)
    training = Training(values, labels)
    fitted = LearnedWhitening.fit(training, 5)
    pairs = training.pairs().matching
    differences = values[pairs[:, 0]].astype(np.float64) - values[pairs[:, 1]]
    within = differences.T @ differences / len(pairs)
    within += np.trace(within) / 12 * 12 / 4000 * np.eye(12)
    spread = np.cov(values.T.astype(np.float64))
    _, vectors = scipy.linalg.eigh(spread, within)  # vectors have length 1 under `within`
    expected = (values - values.mean(axis=0)) @ vectors[:, ::-1][:, :5]
    same_up_to_sign(fitted.apply(values), normed(expected), 1e-3)


def test_learned_whitening_helps_on_unseen_classes():
    values, labels = class_codes(600, 24, classes=12, noise=0.8)
    unseen, unseen_labels = class_codes(300, 24, seed=5, centres=1, noise=0.8)
    full = mean_ap(unseen, unseen_labels)
    pca = mean_ap(PCA.fit(Training(values), 8).apply(unseen), unseen_labels)
    lw = mean_ap(LearnedWhitening.fit(Training(values, labels), 8).apply(unseen), unseen_labels)
    assert lw > pca + 0.05
    assert lw > full


def test_learned_whitening_of_few_images_does_not_raise_noise():
    """As many dimensions as images: without its two guards it would be far below PCA."""
    values, labels = class_codes(200, 400, classes=20, noise=0.4)
    unseen, unseen_labels = class_codes(200, 400, seed=5, centres=1, noise=0.4)
    pca = mean_ap(PCA.fit(Training(values), 32).apply(unseen), unseen_labels)
    lw = mean_ap(LearnedWhitening.fit(Training(values, labels), 32).apply(unseen), unseen_labels)
    assert lw > pca - 0.02


def test_learned_whitening_that_cannot_be():
    values, labels = class_codes(60, 8)
    with pytest.raises(UserError, match="lw9: the 60 codes of 8 dimensions"):
        LearnedWhitening.fit(Training(values, labels), 9)
    with pytest.raises(UserError, match="do not differ"):
        LearnedWhitening.fit(Training(np.eye(2, dtype=np.float32)[labels % 2], labels % 2), 1)


def test_discriminative_reduction_helps_on_unseen_classes():
    values, labels = class_codes(1200, 32, classes=24, noise=0.8)
    unseen, unseen_labels = class_codes(400, 32, seed=5, centres=1, noise=0.8)
    training = Training(values, labels)
    pca = mean_ap(PCA.fit(training, 6).apply(unseen), unseen_labels)
    fitted = Discriminative.fit(training, 6)
    assert mean_ap(fitted.apply(unseen), unseen_labels) > pca + 0.05
    assert fitted.facts["auc"] > fitted.facts["auc_of_pca"]
    again = Discriminative.fit(Training(values, labels), 6)
    assert again.digest() == fitted.digest()
    assert Discriminative.fit(Training(values, labels, seed=1), 6).digest() != fitted.digest()


def test_discriminative_reduction_without_labels():
    values, _ = class_codes(600, 32, classes=12, noise=0.3)
    unseen, unseen_labels = class_codes(300, 32, seed=5, centres=1, noise=0.3)
    pca = mean_ap(PCA.fit(Training(values), 4).apply(unseen), unseen_labels)
    disc = mean_ap(Discriminative.fit(Training(values), 4).apply(unseen), unseen_labels)
    assert disc >= pca - 0.01


def test_where_pairs_say_nothing_the_pca_is_kept():
    values, labels = class_codes(400, 16, classes=12)
    labels = np.random.default_rng(0).permutation(labels)
    training = Training(values, labels)
    unseen, unseen_labels = class_codes(300, 16, seed=5, centres=1)
    pca = mean_ap(PCA.fit(training, 4).apply(unseen), unseen_labels)
    disc = Discriminative.fit(training, 4)
    assert mean_ap(disc.apply(unseen), unseen_labels) == pytest.approx(pca, abs=0.03)
    assert disc.facts["auc"] < disc.facts["auc_of_pca"] + 0.03


def test_classes_held_out_are_in_no_pair_that_is_learned_from():
    values, labels = class_codes(600, 16, classes=20)
    learn, check = hold_out(Training(values, labels))
    learned = np.unique(labels[np.concatenate([learn.matching, learn.other])])
    checked = np.unique(labels[np.concatenate([check.matching, check.other])])
    assert len(checked) == 4
    assert not set(learned) & set(checked)
    learn, check = hold_out(Training(values, labels % 3))  # few classes: by image
    assert not set(learn.matching.ravel()) & set(check.matching.ravel())
