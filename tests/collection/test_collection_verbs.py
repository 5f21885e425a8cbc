"""The verbs about collections, in this process; their errors are one line and status 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from painted import lay_pictures, picture_file

from made import Run, command_here


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return command_here(monkeypatch, capsys)


@pytest.fixture
def made(run: Run, tmp_path: Path, pictures: Path, code: str) -> Path:
    path = tmp_path / "made"
    status, out, err = run("index", pictures, "--collection", path, "--code", code)
    assert status == 0, err
    assert "12 new; 12 codes made" in out and f"12 images in {path}" in out
    return path


def test_index_again(run: Run, made: Path, pictures: Path, tmp_path: Path) -> None:
    lay_pictures(pictures, 2, first=50)
    (pictures / "a" / "bad.jpg").write_bytes(b"")
    status, out, err = run("index", "--collection", made, "--json")
    report = json.loads(out)
    assert status == 0 and (report["added"], report["unchanged"]) == (3, 12)
    assert "bad.jpg: empty file" in err
    assert run("info", made, "--bad")[1] == f"{pictures}/a/bad.jpg: empty file\n"
    (tmp_path / "own.csv").write_text("path,stars\na/0000.jpg,5\nz,1\n")
    status, out, _ = run("index", "--collection", made, "--metadata", tmp_path / "own.csv")
    assert "metadata for 1 image(s); 1 row(s) fit no image" in out
    assert (
        json.loads(run("search", made, "id:2", "--filter", "stars == 5", "--json")[1])["rank"] == 1
    )


def test_search(run: Run, made: Path, pictures: Path, tmp_path: Path) -> None:
    status, out, _ = run("search", made, pictures / "a" / "0000.jpg", "-k", 3)
    lines = out.splitlines()
    assert status == 0 and len(lines) == 4
    assert lines[0].split() == ["#", "distance", "id", "pixels", "label", "image"]
    assert lines[1].split()[0] == "1" and "60×40" in lines[1]
    _, out, _ = run("search", made, "id:1", "id:2", "--exclude", "id:3", "--json", "-k", 4)
    found = [json.loads(line) for line in out.splitlines()]
    assert found and {"rank", "distance", "path", "label"} <= found[0].keys()
    assert not {1, 2, 3} & {match["id"] for match in found}
    sheet = tmp_path / "sheet.html"
    status, _, _ = run(
        "search", made, (pictures / "b" / "0001.jpg").as_uri(),
                           "--crop", "0,0,30,30", "--html", sheet)  # fmt: skip
    assert status == 0 and "<!doctype html>" in sheet.read_text()
    _, out, _ = run("search", made, "id:1", "-k", 1, "--pictures", "kitty")
    assert "\x1b_G" in out


def test_the_other_verbs(run: Run, made: Path, pictures: Path, tmp_path: Path) -> None:
    status, out, _ = run("info", made)
    assert status == 0 and "1 (exact search)" in out and "bytes an image" in out
    assert json.loads(run("info", made, "--json")[1])["images"] == 12
    (pictures / "c" / "copy.jpg").write_bytes(picture_file(0))
    run("index", "--collection", made)
    status, out, err = run("duplicates", made, "--html", tmp_path / "d.html")
    assert status == 0 and "same bytes" in out and "of altered copies" in err
    assert json.loads(run("duplicates", made, "--threshold", "0", "--json")[1])["kind"] == "exact"
    copy = pictures / "c" / "copy.jpg"
    assert run("duplicates", made, "--not-duplicates", copy, pictures / "a" / "0000.jpg")[0] == 0
    assert "0 group(s) of exact copies" in run("duplicates", made, "--threshold", "0")[1]
    status, out, _ = run("export", made, tmp_path / "out", "--table", "csv")
    assert status == 0 and len(out.splitlines()) == 3
    assert run("remove", made, pictures / "a", "id:12")[1] == "5 image(s) removed, 8 left\n"
    assert "now" in run("compact", made)[1]
    assert run("verify", made, "--images") == (
        0,
        "8 codes checked, 8 pictures read: all is well\n",
        "",
    )
    segment = next((made / "codes").iterdir())
    segment.write_bytes(segment.read_bytes()[:-1] + b"x")
    status, out, _ = run("verify", made)
    assert status == 1 and "1 problem(s)" in out
    assert run("verify", made, "--repair")[0] == 0 and run("verify", made)[0] == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("index", "PICTURES", "--collection", "NEW", "--code", "nowhere@L6"), "no such run"),
        (("index", "PICTURES", "--collection", "NEW", "--code", "NET@L9"), "unknown layer 'L9'"),
        (("index", "NOWHERE", "--collection", "NEW", "--code", "NET@L6"), "no such file or folder"),
        (("index", "--collection", "NEW", "--code", "NET@L6"), "name the pictures"),
        (("index", "PICTURES", "--collection", "PICTURES", "--code", "NET@L6"), "not a collection"),
        (("index", "--collection", "MADE", "--code", "NET@L7"), "made with other weights or anoth"),
        (("index", "--collection", "MADE", "--dtype", "float16"), "holds float32"),
        (("index", "--collection", "MADE", "--recall", "1.5"), "--recall 1.5"),
        (("index", "--collection", "MADE", "--memory", "much"), "--memory much"),
        (("search", "NOWHERE", "id:1"), "no collection; make one with: neuralcodes index"),
        (("search", "MADE", "NOWHERE"), "no such file"),
        (("search", "MADE", "id:1", "--crop", "1,2,3"), "--crop 1,2,3"),
        (("search", "MADE", "id:1", "--filter", "x"), "no column 'x'"),
        (("search", "MADE", "id:1", "-k", "0"), "-k 0"),
        (("search", "MADE", "id:1", "--pictures", "ascii"), "--pictures ascii"),
        (("duplicates", "MADE", "--not-duplicates", "id:1", "id:77"), "no image of that number"),
        (("export", "MADE", "OUT", "--table", "xls"), "--table xls"),
        (("remove", "MADE", "NOWHERE"), "no image of the collection"),
    ],
)
def test_what_a_user_can_get_wrong(
    words: tuple[str, ...], reason: str, run: Run, made: Path, pictures: Path, tmp_path: Path,
    network: Path,
) -> None:  # fmt: skip
    names = {
        "PICTURES": pictures, "NEW": tmp_path / "new", "NOWHERE": tmp_path / "nowhere",
        "MADE": made, "OUT": tmp_path / "out", "NET@L6": f"{network}@L6",
        "NET@L7": f"{network}@L7", "NET@L9": f"{network}@L9",
    }  # fmt: skip
    status, out, err = run(*(names.get(word, word) for word in words))
    last = err.rstrip("\n").splitlines()[-1]
    assert status == 2 and last.startswith("neuralcodes: ") and reason in last, (out, err)
    assert "Traceback" not in err
    assert not (tmp_path / "new").exists() or "name the pictures" not in last
