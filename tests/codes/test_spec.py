"""What a code is, its short form and its fingerprint."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made import make_spec
from neuralcodes.codes.spec import CodeRequest, CodeSpec, Preprocessing, parse_code
from neuralcodes.common.errors import UserError

SPEC = make_spec(2048, layer="relu6", name="runs/a@L6")


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("reference@L7", CodeRequest("reference", "L7", None, ())),
        ("runs/2026-11-24@L6/pca128", CodeRequest("runs/2026-11-24", "L6", None, ("pca128",))),
        ("shipped", CodeRequest("shipped", None, None, ())),
        ("a@b@L5/flatten", CodeRequest("a@b", "L5", "flatten", ())),
        (
            "hf:facebook/dinov2-small@encoder.layer.11/flatten/whiten256/int8",
            CodeRequest(
                "hf:facebook/dinov2-small", "encoder.layer.11", "flatten", ("whiten256", "int8")
            ),
        ),
    ],
)
def test_short_form(text, request_):
    assert parse_code(text) == request_


@pytest.mark.parametrize("text", ["", "@L6", "run@", "run@L6/", "run@/pca"])
def test_short_form_that_is_none(text):
    with pytest.raises(UserError, match="--code"):
        parse_code(text)


def test_json_round_trip():
    assert CodeSpec.from_json(SPEC.to_json()) == SPEC


def test_json_that_was_changed_or_is_of_another_format_is_refused():
    with pytest.raises(UserError, match="changed by hand"):
        CodeSpec.from_json({**SPEC.to_json(), "dims": 5})
    with pytest.raises(UserError, match="format 99"):
        CodeSpec.from_json({**SPEC.to_json(), "format": 99})


def test_fingerprint_ignores_the_name_and_nothing_else():
    assert replace(SPEC, name="elsewhere@L6").fingerprint() == SPEC.fingerprint()
    others = [
        replace(SPEC, network="x"),
        replace(SPEC, weights="x"),
        replace(SPEC, layer="relu7"),
        replace(SPEC, pooling="gem"),
        replace(SPEC, transforms=("pca",)),
        replace(SPEC, precision="bf16"),
        replace(SPEC, preprocessing=Preprocessing((32, 32))),
        replace(SPEC, dims=1),
    ]
    assert len({spec.fingerprint() for spec in [SPEC, *others]}) == 9


def test_fingerprint_stays_the_same_across_versions():
    # Collections on users' disks carry it: a change here needs a new FORMAT.
    assert SPEC.fingerprint() == "573ef6486902308e"


@given(st.sampled_from(["bf16", "fp16"]))
def test_codes_of_different_specs_are_not_compared(precision):
    other = replace(SPEC, name="runs/b@L6", precision=precision)
    SPEC.require_same(replace(SPEC, name="other"))
    with pytest.raises(UserError, match=r"runs/a@L6 .* and runs/b@L6 .*: precision differ"):
        SPEC.require_same(other)
