"""evaluate --protocol, crops and compare, as a user types them, on a real run's codes."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from test_errors import refused

from neuralcodes.codes.store import load_codes, save_codes


@pytest.fixture(scope="session")
def two_runs(small_run, tmp_path_factory):
    """The small run, and a copy whose L7 was judged a little worse on each query."""
    other = tmp_path_factory.mktemp("other") / "run"
    shutil.copytree(small_run, other)
    file = other / "retrieval" / "L7.json"
    facts = json.loads(file.read_text())
    facts["average_precision_of_queries"] = [
        round(value * 0.98, 6) for value in facts["average_precision_of_queries"]
    ]
    file.write_text(json.dumps(facts))
    return small_run, other


def test_class_retrieval_of_codes_equals_the_run(small_run, command, tmp_path):
    out = tmp_path / "e.json"
    codes = small_run / "codes" / "L7"
    result = command("evaluate", codes, "--protocol", "class-retrieval", "--out", out)
    assert result.returncode == 0, result.stderr
    assert "average precision" in result.stdout and "95 %" in result.stdout
    metrics = json.loads((small_run / "metrics.json").read_text())
    stored = json.loads(out.read_text())["tasks"][""][0]
    assert stored["mean"] == pytest.approx(metrics["map"]["L7"], abs=1e-9)
    assert (stored["low"], stored["high"]) == pytest.approx(
        (metrics["map_low"]["L7"], metrics["map_high"]["L7"])
    )
    as_json = command("evaluate", f"{small_run}@L7", "--protocol", "class-retrieval", "--json")
    assert json.loads(as_json.stdout)["tasks"][""][0]["mean"] == stored["mean"]


def test_a_collection_is_judged_as_its_codes_are(small_run, digit_folders, command, tmp_path):
    code = f"{small_run}@L6"
    index = command("index", digit_folders, "--collection", tmp_path / "c.nc", "--code", code)
    assert index.returncode == 0, index.stderr
    extract = command("extract", digit_folders, "--code", code, "--out", tmp_path / "codes")
    assert extract.returncode == 0, extract.stderr
    found = []
    for target in (tmp_path / "c.nc", tmp_path / "codes" / "L6"):
        result = command("evaluate", target, "--protocol", "class-retrieval", "--json")
        assert result.returncode == 0, result.stderr
        found.append(json.loads(result.stdout)["tasks"][""])
    for one, other in zip(*found, strict=True):
        assert one["measure"] == other["measure"]
        assert one["mean"] == pytest.approx(other["mean"], abs=2e-4)  # equal distances: by row
    command("remove", tmp_path / "c.nc", digit_folders)
    empty = command("evaluate", tmp_path / "c.nc", "--protocol", "class-retrieval")
    refused(empty, "no image in it")


def test_own_protocol_with_reranking_and_distractors(small_run, command, tmp_path):
    codes = load_codes(small_run / "codes" / "L6")
    rows = np.arange(len(codes)) % 2 == 0
    for name, kept in (("some", rows), ("others", ~rows)):
        save_codes(
            tmp_path / name,
            type(codes)(
                codes.spec,
                codes.values[kept],
                tuple(k for k, keep in zip(codes.keys, kept, strict=True) if keep),
                name,
            ),
        )
    some = load_codes(tmp_path / "some").keys
    (tmp_path / "mine.csv").write_text(
        "query,relevant,junk\n"
        + "".join(f"{q},{';'.join(some[1:6])},{some[7]}\n" for q in (some[0], some[9]))
    )
    result = command(
        "evaluate", tmp_path / "some", "--protocol", "own", "--gnd", tmp_path / "mine.csv",
        "--distractors", tmp_path / "others", "--rerank", "dba5+kreciprocal10:k2=3",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert f"own: 2 queries among {len(codes)} images" in result.stdout
    assert "dba5:alpha=0: " in result.stdout and "MB more" in result.stdout
    assert "R-precision" in result.stdout


def test_compare_runs_layers_and_files(two_runs, command):
    a, b = two_runs
    result = command("compare", f"{a}@L7", f"{b}@L7")
    assert result.returncode == 0, result.stderr
    assert "The difference is real: A is better by" in result.stdout
    result = command("compare", a, b)
    assert result.stdout.count("A and B are the same on every query.") == 2  # L5 and L6
    result = command("compare", f"{a}@L5", a / "retrieval" / "L7.json", "--json")
    (facts,) = json.loads(result.stdout)
    metrics = json.loads((a / "metrics.json").read_text())["map"]
    assert facts["difference"] == pytest.approx(metrics["L7"] - metrics["L5"], abs=1e-6)
    assert facts["low"] <= facts["difference"] <= facts["high"]
    assert facts["real"] == (facts["p"] < 0.05 and not facts["low"] <= 0 <= facts["high"])


def test_compare_needs_no_torch(two_runs):
    a, b = two_runs
    program = (
        "import sys; from neuralcodes.cli.compare import compare;"
        f"compare({str(a)!r}, {str(b)!r}); print('torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.stdout.splitlines()[-1] == "False", result.stderr


def test_what_compare_refuses(two_runs, command, tmp_path):
    a, b = two_runs
    refused(command("compare", a, f"{b}@L7"), "nothing to compare", "RUN@LAYER")
    refused(command("compare", f"{a}@L9", f"{b}@L7"), "L9.json", "neuralcodes evaluate")
    refused(command("compare", tmp_path / "none", b), "none: no such run folder")
    file = tmp_path / "other.json"
    facts = json.loads((a / "retrieval" / "L7.json").read_text())
    file.write_text(json.dumps({**facts, "images": "others"}))
    refused(command("compare", file, f"{b}@L7"), "not judged on the same images and queries")


def test_crops_are_cut_encoded_and_searched_with(small_run, digit_folders, command, tmp_path):
    pictures = sorted(digit_folders.rglob("*.png"))[:12]
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, picture in enumerate(pictures):
        shutil.copy(picture, folder / f"digit_{number:06}.png")
    gnd = tmp_path / "gnd"
    gnd.mkdir()
    for name, text in {
        "query": "digit_000000 0 0 6 8",
        "good": "digit_000000\ndigit_000001",
        "ok": "digit_000002",
        "junk": "digit_000003",
    }.items():
        (gnd / f"zero_1_{name}.txt").write_text(text)
    oxford = ("--protocol", "oxford5k", "--gnd", gnd)
    result = command("crops", folder, *oxford, "--out", tmp_path / "crops")
    assert result.returncode == 0, result.stderr
    for images, out in ((folder, "all"), (tmp_path / "crops", "queries")):
        code = f"{small_run}@L6"
        command("extract", images, "--code", code, "--out", tmp_path / out)
    whole = command("evaluate", tmp_path / "all" / "L6", *oxford)
    assert "queries are whole images" in whole.stdout
    boxes = command(
        "evaluate", tmp_path / "all" / "L6", *oxford, "--queries", tmp_path / "queries" / "L6"
    )
    assert boxes.returncode == 0 and "whole images" not in boxes.stdout
    assert "Oxford average precision" in boxes.stdout


def test_protocols_are_listed(command):
    result = command("evaluate", "--protocol", "list")
    assert result.returncode == 0
    for name in ("class-retrieval", "roxford5k", "in-shop", "own"):
        assert name in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("give a run folder",)),
        (("{codes}",), ("these are codes", "--protocol")),
        (("{codes}", "--protocol", "imagenet"), ("imagenet", "holidays")),
        (("{codes}", "--protocol", "oxford5k"), ("--gnd", "oxford5k needs")),
        (("{codes}", "--protocol", "sop", "--gnd", "none"), ("none: no such file",)),
        (("{codes}", "--protocol", "holidays"), ("no image NNNN00",)),
        (("{codes}", "--protocol", "class-retrieval", "--rerank", "magic"), ("unknown step",)),
        (("none", "--protocol", "holidays"), ("none.json: no such file",)),
        (("{run}", "--json"), ("--protocol",)),
        (("{run}", "--protocol", "holidays"), ("a folder", "@L6")),
        (("{run}@L9", "--protocol", "holidays"), ("L9.json: no such file",)),
    ],
)
def test_what_evaluate_refuses(small_run, command, tmp_path, arguments, words):
    places = {"codes": small_run / "codes" / "L6", "run": small_run}
    refused(
        command("evaluate", *(part.format(**places) for part in arguments), cwd=tmp_path), *words
    )
