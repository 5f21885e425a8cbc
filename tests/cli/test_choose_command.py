"""choose as a user types it, on a real run: what it prints, keeps, and what its commands make."""

import json
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from test_errors import refused

from neuralcodes.common.errors import UserError
from neuralcodes.experiments.choice import Choosing, with_defaults
from neuralcodes.index.backend import backend_names

SMALL = (
    "--dims", "8,16,4096", "--transforms", "none,pca,pca/int8", "--classes", "all",
    "--device", "cpu", "--networks", "runs/small",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(small_run, digit_folders, tmp_path_factory):
    """A folder with a copy of the run and the pictures, by relative names."""
    root = tmp_path_factory.mktemp("choose")
    shutil.copytree(small_run, root / "runs/small")
    (root / "pictures").symlink_to(digit_folders)
    return root


@pytest.fixture(scope="module")
def chosen(place, command):
    """The sweep's outcome as JSON, and what it said meanwhile."""
    result = command("choose", "pictures", *SMALL, "--out", "out", "--json", cwd=place)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout), result.stderr


def test_the_outcome_as_json(chosen, place, digit_folders):
    found, said = chosen
    images = len(list(digit_folders.rglob("*.png")))
    assert found["subject"]["images"] == images
    assert found["subject"]["networks"] == ["runs/small"]
    assert found["turns"] == 3  # six classes
    assert {part["groups"] for part in found["parts"].values()} == {2}
    codes = {point["code"]: point for point in found["codes"]}
    assert set(codes) == {
        f"runs/small@{layer}{chain}"
        for layer in ("L5", "L6", "L7")
        for chain in ("", "/pca8", "/pca16", "/pca8/int8", "/pca16/int8")
    }
    assert "L7 has 128 dimensions; left out: pca4096" in said
    assert "15 codes judged by labels, 3 time(s) each, 45 of these 45 new" in said
    assert codes["runs/small@L6/pca16/int8"]["bytes"] == 16
    assert codes["runs/small@L5"]["bytes"] == 2048
    assert all(0 < p["low"] <= p["map"] <= p["high"] <= 1 for p in codes.values())
    recommended = found["recommendation"]
    assert recommended["code"] in codes
    best = max(p["map"] for p in codes.values())
    against = found["certainty"]["against_best"]
    mine = codes[recommended["code"]]["map"]
    assert best - mine < 0.01 or not against["real"]
    apart = recommended["chosen_on"]["mean"] - recommended["judged_on"]["mean"]
    level = recommended["level_on"] - recommended["level_off"]
    assert recommended["optimism"] == pytest.approx(apart - level)
    assert [one["backend"] for one in found["indexes"]][:5] == backend_names(local=True)
    assert json.loads((place / "out/choice.json").read_text()) == found
    assert str(place) not in (place / "out/choice.json").read_text()


def test_the_network_that_comes_along_and_the_runs_are_judged_if_none_is_named(
    place, tmp_path, monkeypatch
):
    asked = Choosing("pictures", (), tmp_path)
    monkeypatch.chdir(tmp_path)
    assert with_defaults(asked).networks == ("shipped",)
    monkeypatch.chdir(place)
    assert with_defaults(asked).networks == ("shipped", "runs/small")
    assert with_defaults(replace(asked, networks=("a",))).networks == ("a",)
    monkeypatch.setattr("neuralcodes.experiments.choice.carries_weights", lambda: False)
    assert with_defaults(asked).networks == ("runs/small",)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--networks: name a run folder"):
        with_defaults(asked)


def test_a_code_without_transforms_has_the_map_of_a_plain_loop(chosen, place, digit_folders):
    """By the definition, from codes that `choose` left on disk."""
    from neuralcodes.choosing.task import label_task
    from neuralcodes.codes.store import load_codes

    (folder,) = (place / "out/codes").iterdir()
    codes = load_codes(folder / "images/L6-flatten")
    labels = np.array([int(key.split("/")[0]) for key in codes.keys])
    precisions = []
    task = label_task(labels, 0, "")
    for turn in range(3):
        rows = task.part(turn, "choose").rows
        values = codes.values[rows].astype(np.float64)
        for query in range(len(rows)):
            order = np.argsort(-(values @ values[query]), kind="stable")
            hits = (labels[rows][order] == labels[rows][query])[order != query]
            precisions.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
    found = next(p for p in chosen[0]["codes"] if p["code"] == "runs/small@L6")
    assert found["map"] == pytest.approx(np.mean(precisions), abs=1e-5)


def test_the_commands_work_when_pasted(chosen, place, command):
    """For a fitted code, whatever was recommended: the smallest budget asks for one."""
    result = command(
        "choose", "pictures", *SMALL, "--out", "out", "--budget", "8B", "--collection", "my own.nc",
        cwd=place,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "0 of these 45 new" in result.stderr
    lines = result.stdout.splitlines()
    code = next(line for line in lines if line.startswith("recommended: ")).split()[-1]
    assert code.endswith("/pca8/int8")
    commands = [line.strip() for line in lines if line.startswith("  neuralcodes ")]
    assert [line.split()[1] for line in commands] == ["fit", "index"]
    for line in commands:
        done = command(*shlex.split(line)[1:], cwd=place)
        assert done.returncode == 0, done.stderr
    info = command("info", "my own.nc", "--json", cwd=place)
    assert info.returncode == 0, info.stderr
    about = json.loads(info.stdout)
    assert about["code"].endswith("pca8/int8") and about["dtype"] == "int8"
    # the budget is what lies on disk: 8 bytes a code, and the header of each file
    files = list((place / "my own.nc/codes").iterdir())
    assert about["bytes"]["codes"] == 8 * about["contents"] + 128 * len(files)
    told = json.loads((place / "out/choice.json").read_text())
    exact = next(one for one in told["indexes"] if one["backend"] == "exact")
    assert exact["code"] == code and exact["bytes"] == 8 and about["bytes"]["index"] == 0
    for backend in ("hnsw", "fastscan"):
        foretold = next(o for o in told["indexes"] if (o["code"], o["backend"]) == (code, backend))
        again = command("index", "--collection", "my own.nc", "--backend", backend, cwd=place)
        assert again.returncode == 0, again.stderr
        about = json.loads(command("info", "my own.nc", "--json", cwd=place).stdout)
        ours = (about["bytes"]["codes"] + about["bytes"]["index"]) / about["contents"]
        assert ours == pytest.approx(foretold["bytes"], rel=0.05)
    again = command(
        "choose", "pictures", *SMALL, "--out", "out", "--budget", "8B", cwd=place
    )  # fmt: skip
    assert "pca8/int8 is fitted already" in again.stdout


def test_a_killed_sweep_goes_on(chosen, place, command):
    """kill -9 in the middle; what was judged by then is not judged again."""
    arguments = ["choose", "pictures", *SMALL, "--out", "killed", "--indexes", "none"]
    process = subprocess.Popen(
        [sys.executable, "-m", "neuralcodes", *arguments],
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    kept, until = place / "killed/kept", time.monotonic() + 200
    while len(list(kept.glob("*.json"))) < 4 and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    whole = len([path for path in kept.glob("*.json") if not path.name.startswith(".")])
    assert whole >= 4
    assert not (place / "killed/choice.json").exists()
    result = command(*arguments, "--json", cwd=place)
    assert result.returncode == 0, result.stderr
    assert f"{45 - whole} of these 45 new" in result.stderr
    again = {point["code"]: point["map"] for point in json.loads(result.stdout)["codes"]}
    assert again == {point["code"]: point["map"] for point in chosen[0]["codes"]}


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.rows, self.text, self.tags = [], 0, [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "srcset")]
        self.rows += tag == "tr"

    def handle_data(self, data):
        self.text.append(data)


def test_the_report_needs_nothing_else(chosen, place):
    page = _Page()
    page.feed((place / "out/report.html").read_text())
    assert all(link.startswith(("data:", "#")) for link in page.links)
    text = " ".join(" ".join(page.text).split())
    assert "Which layer should I use?" in text
    assert "the worst layer" in text
    assert page.rows > 15
    assert (place / "out/figures/choice.png").stat().st_size < 250_000


def test_without_class_folders_it_is_an_estimate(place, command, digit_folders):
    flat = place / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(digit_folders.rglob("*.png"))[:90]):
        shutil.copy(path, flat / f"{number}.png")
    result = command(
        "choose", "flat", "--networks", "runs/small", "--layers", "L6,L7", "--dims", "8",
        "--transforms", "none,pca", "--indexes", "none", "--device", "cpu", "--out", "out2",
        cwd=place,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "no class folders; quality is estimated from views" in result.stderr
    assert "This is an estimate" in result.stdout
    assert "Kendall" in result.stdout  # how well estimates ordered codes elsewhere
    assert json.loads((place / "out2/choice.json").read_text())["estimate"] is True
    assert "An estimate." in (place / "out2/report.html").read_text()


def test_what_a_user_can_get_wrong(place, command):
    choose = ("choose", "pictures", "--networks", "runs/small")
    refused(command(*choose, "--budget", "much", cwd=place), "--budget much", "64B")
    refused(command(*choose, "--dims", "a", cwd=place), "--dims a", "32,128")
    refused(command(*choose, "--classes", "0,1,2", cwd=place), "3 class", "--labels none")
    refused(command(*choose, "--layers", "L9", cwd=place), "L9", "L7")
    refused(command(*choose, "--indexes", "all,annoy", cwd=place), "annoy", "fastscan")
    refused(command("choose", "nothing", "--networks", "runs/small", cwd=place), "nothing")
