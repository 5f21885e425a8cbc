"""The page without a browser: addresses, answers, markup, choices."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painted import lay_pictures, picture_file
from serving import Running, in_process
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score
from starlette.datastructures import QueryParams
from starlette.testclient import TestClient

from neuralcodes.collection.collection import Collection
from neuralcodes.collection.lookup import count_images
from neuralcodes.reports.style import DARK, LIGHT
from neuralcodes.serve.diskcache import DiskCache
from neuralcodes.serve.errors import RefusedError
from neuralcodes.serve.page import layout, searching, wanted
from neuralcodes.serve.page.keys import KEYS, keys_of
from neuralcodes.serve.page.rendering import FILES, SECTIONS, STATIC, environment
from neuralcodes.serve.page.sorting import differing
from neuralcodes.serve.page.wanted import Wanted
from neuralcodes.serve.settings import Settings

HTML = {"accept": "text/html"}
uploads = st.text("0123456789abcdef", min_size=64, max_size=64)
some_ids = st.lists(st.integers(1, 10**14), max_size=3, unique=True).map(tuple)
percents = st.integers(1, 50).map(lambda part: part / 100)


@given(
    st.builds(
        Wanted,
        id=some_ids,
        upload=st.lists(uploads, max_size=2, unique=True).map(tuple),
        text=st.text(max_size=30).map(str.strip),
        exclude=some_ids,
        exclude_upload=st.lists(uploads, max_size=2, unique=True).map(tuple),
        crop=st.none() | st.tuples(percents, percents, percents, percents),
        picks=st.lists(
            st.tuples(st.from_regex("[a-z_]{1,8}", fullmatch=True), st.text(min_size=1)), max_size=3
        ).map(tuple),
        filter=st.text(max_size=40).map(str.strip),
        within=st.none() | percents,
        k=st.integers(1, 1000),
        page=st.integers(1, 10_000),
        order=st.sampled_from(wanted.ORDERS),
    )
)
@settings(max_examples=60)
def test_the_address_is_the_search(search: Wanted) -> None:
    assert Wanted.read(QueryParams(search.query)) == search


def test_addresses_that_ask_for_nothing_possible_are_refused() -> None:
    for query in ("id=x", "id=²", "upload=12", "k=0", "k=1001", "page=x", "crop=1,2", "within=far",
                  "is.a b=1", "crop=0,0,0,1", "crop=nan,0,1,1"):  # fmt: skip
        with pytest.raises(RefusedError):
            Wanted.read(QueryParams(query))


def test_searches_near_to_one() -> None:
    search = Wanted(id=(1,), crop=(0.1, 0.1, 0.5, 0.5), filter="width > 3", k=6, page=3)
    assert search.by(id=2) == Wanted(id=(2,), filter="width > 3", k=6)
    assert search.more(id=2) == Wanted(id=(1, 2), filter="width > 3", k=6)
    assert search.unlike(id=2).exclude == (2,)
    assert search.unlike(id=2).more(id=2).exclude == ()
    assert search.without(id=1) == Wanted(filter="width > 3", k=6)
    assert search.more(id=2).without(id=2).id == (1,)
    assert search.unfiltered().condition is None


@given(st.lists(st.booleans(), min_size=1, max_size=40).filter(any))
def test_running_average_precision_is_the_fields(relevant: list[bool]) -> None:
    so_far, precision = searching.rank_precision(relevant, sum(relevant))
    scores = -np.arange(len(relevant))
    assert precision.average == pytest.approx(average_precision_score(relevant, scores))
    assert so_far == sorted(so_far) and len(so_far) == len(relevant)
    _, wide = searching.rank_precision(relevant, 2 * sum(relevant))  # half of them farther behind
    assert wide.average == pytest.approx(precision.average / 2)


def test_the_map_is_pca(tmp_path: Path, collection: Collection) -> None:
    snapshot = collection.store.snapshot()
    made = layout.lay_out(snapshot, snapshot.alive)
    codes = snapshot.vectors(snapshot.alive)
    pca = PCA(2, svd_solver="full").fit(codes)
    expected = pca.transform(codes)
    for axis in range(2):
        assert abs(np.corrcoef(made.places[:, axis], expected[:, axis])[0, 1]) > 0.9999
    assert made.kept == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-3)
    inside = np.abs(made.places) <= 1.5
    assert inside.all()


def test_a_layout_is_computed_once(
    tmp_path: Path, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = collection.store.snapshot()
    first = layout.Layouts(DiskCache(tmp_path / "maps", 2**20), "a").of(snapshot)
    calls = []
    monkeypatch.setattr(
        layout, "lay_out", lambda *given: calls.append(given) or layout.Layout(*given, 1.0)
    )
    again = layout.Layouts(DiskCache(tmp_path / "maps", 2**20), "a").of(snapshot)
    assert not calls and np.array_equal(first.places, again.places)
    layout.Layouts(DiskCache(tmp_path / "maps", 2**20), "b").of(snapshot)
    assert calls  # another collection's


def test_colours_are_the_figures() -> None:
    css = (STATIC / "page.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", css, re.S)
    for block, style in ((light, LIGHT), (dark, DARK)):
        known = dict(re.findall(r"--([\w-]+): (#\w+)", block))
        for name in ("ink", "muted", "grid", "paper", "good", "bad"):
            assert known[name] == getattr(style, name)
        assert tuple(known[f"s{n}"] for n in range(6)) == style.series


def test_one_table_of_keys() -> None:
    for page in {page for key in KEYS for page in key.where} | {""}:
        pressed = [one for key in keys_of(page) for one in key.keys]
        assert len(pressed) == len(set(pressed)), page
    templates = "".join(
        environment().loader.get_source(environment(), name)[0]  # type: ignore[union-attr]
        for name in environment().list_templates()
    )
    script = (STATIC / "page.js").read_text()
    for key in KEYS:
        action, _, rest = key.do.partition(" ")
        assert re.search(rf"^  {action}[(,:]", script, re.M), key
        if action in ("click", "focus"):
            name = rest.removeprefix("#")
            assert f'id="{name}"' in templates or f"'{name}'" in templates, key
        if action == "hit":
            assert re.search(rf'class="{rest[1:]}\b', templates), key


def test_differing_details_only(client: TestClient) -> None:
    service = client.app.state.service  # type: ignore[attr-defined]
    one = service.image(1)
    other = one.model_copy(update={"width": 20, "size": 5, "metadata": {"stars": 3}})
    found = {detail.name: detail.values for detail in differing([one, other])}
    assert set(found) == {"pixels", "size", "stars"}
    assert found["stars"] == ("–", "3") and found["pixels"][1] == "20 × 40"
    assert differing([one, one]) == []


# Markup


class _Markup(HTMLParser):
    """Finds what a strict policy forbids, and addresses."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.links: set[str] = set()
        self.ids: list[str] = []
        self._paragraph = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("form", "div", "ul", "dl", "table"):  # would end it where nobody meant it to
            self.wrong += ["p around a block"] * self._paragraph
        self._paragraph = tag == "p" or self._paragraph
        if tag == "style" or "style" in given or (tag == "script" and "src" not in given):
            self.wrong.append(f"{tag} {given}")
        self.wrong += [f"{tag} {name}" for name in given if name.startswith(("on", "hx-on"))]
        if "id" in given:
            self.ids.append(str(given["id"]))
        for name in ("src", "href", "action", "hx-get"):
            if given.get(name):
                self.links.add(str(given[name]))

    def handle_endtag(self, tag: str) -> None:
        self._paragraph = self._paragraph and tag != "p"


PAGES = [
    "/", "/?id=3", "/?id=3&id=4&exclude=5&k=6&page=2", "/?id=3&crop=0.1,0.1,0.5,0.5",
    "/?is.label=a",
    "/image/3?back=id%3D4&rank=2", "/crop?id=3", "/why?image=3&by=4", "/why?image=3&by=4&now=true",
    "/duplicates", "/duplicates/decided", "/map", "/quality", "/collection", "/jobs", "/nothing",
]  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_pages_keep_to_the_policy(served: Running, path: str) -> None:
    answer = httpx.get(served.address + path, headers=HTML, timeout=60)
    assert answer.status_code == (404 if path == "/nothing" else 200)
    assert "unsafe" not in answer.headers["content-security-policy"]
    markup = _Markup(answer.text)
    assert not markup.wrong
    assert len(markup.ids) == len(set(markup.ids))
    assert all(not urlsplit(link).scheme and not urlsplit(link).netloc for link in markup.links)


def test_links_of_the_pages_lead_somewhere(served: Running) -> None:
    seen: set[str] = set()
    for path in ("/", "/?id=3&exclude=4", "/image/3?back=id%3D4&rank=2", "/collection", "/quality"):
        page = _Markup(httpx.get(served.address + path, headers=HTML).text)
        seen |= {link for link in page.links if not link.startswith(("#", "/find", "/why"))}
    kinds: dict[str, str] = {}
    for link in sorted(seen):  # one of each kind
        kinds.setdefault(re.sub(r"\d+", "0", link.partition("?")[0]), link)
    posts = {"/jobs", "/collection/add", "/collection/remove"}
    for link in (link for kind, link in kinds.items() if kind not in posts):
        assert httpx.get(served.address + link, timeout=60).status_code in (200, 303), link


def test_static_files_are_a_fixed_list(served: Running) -> None:
    for name, kind in FILES.items():
        answer = httpx.get(f"{served.address}/page/{name}")
        assert answer.content == (STATIC / name).read_bytes()
        assert answer.headers["content-type"].startswith(kind)
        assert "immutable" in answer.headers["cache-control"]
    for name in ("htmx.LICENSE", "..%2f__init__.py", "%2e%2e/keys.py", "page.css%00"):
        assert httpx.get(f"{served.address}/page/{name}").status_code == 404
    assert "Zero-Clause BSD" in (STATIC / "htmx.LICENSE").read_text()


def test_an_error_is_a_page_for_people_and_json_for_programs(served: Running) -> None:
    for path, status in (("/?k=x", 400), ("/image/99999", 404), ("/no", 404), ("/?id=99999", 404),
                         ("/?is.wid=3", 400), ("/find", 405), ("/jobs/77", 404)):  # fmt: skip
        answer = httpx.get(served.address + path, headers=HTML)
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("text/html")
        assert "<h1>" in answer.text and "Traceback" not in answer.text
    assert httpx.get(served.address + "/no").json()["error"] == "not_found"
    assert httpx.get(served.address + "/api/v1/no", headers=HTML).json()["error"] == "not_found"


def test_names_and_values_of_others_are_text(tmp_path: Path, code: str, cache: Path) -> None:
    evil = "<img src=x onerror=alert(1)>\"'&amp;"
    folder = tmp_path / "pictures" / "<script>alert(1)</script>"
    folder.mkdir(parents=True)
    for number in range(4):
        name = evil.replace("/", "") + f"{number}.jpg"
        (folder / name).write_bytes(picture_file(number))
    (folder / f"bad{evil}.jpg").write_bytes(b"no picture")
    with Collection.create(tmp_path / "evil.nc", code, device="cpu") as made:
        made.sync([tmp_path / "pictures"])
        made.set_metadata([{"id": n, "note": evil} for n in (1, 2)])
        with in_process(made, Settings(cache=cache, decoders=1)) as client:
            for path in ("/", "/?id=1", "/image/1", "/collection", "/crop?id=1", "/duplicates",
                         f"/?id=1&filter=note == '{evil}'", "/why?image=1&by=2"):  # fmt: skip
                page = client.get(path, headers=HTML)
                assert "<img src=x" not in page.text and "<script>alert" not in page.text
                assert not _Markup(page.text).wrong
            found = client.get("/", params={"is.note": evil}, headers=HTML)
            assert "2 of 4 pictures pass" in found.text


# What pages say


def test_results_with_marks_rank_and_distance(served: Running) -> None:
    page = httpx.get(served.address + "/?id=3&k=6").text
    api = httpx.get(served.address + "/api/v1/search", params={"id": 3, "k": 6}).json()
    shown = re.findall(r'id="r(\d+)".*?title="distance">([\d.]+)<', page, re.S)
    assert [int(rank) for rank, _ in shown] == list(range(1, 7))
    for (_, distance), match in zip(shown, api["matches"], strict=True):
        assert float(distance) == pytest.approx(match["distance"], abs=6e-4)
    assert page.count("✓") - 1 == sum(match["relevant"] for match in api["matches"])
    second = httpx.get(served.address + "/?id=3&k=6&page=2").text
    assert re.findall(r'id="r(\d+)"', second) == [str(n) for n in range(7, 13)]
    assert "<b>7–12</b> of 29" in second and "Page 2 of 5" in second
    both = re.search(r"(\d+) of the first (\d+) have", second)
    assert both is not None and both[2] == "12"


def test_average_precision_of_all_results(served: Running) -> None:
    page = httpx.get(served.address + "/?id=3&k=100").text
    api = httpx.get(served.address + "/api/v1/search", params={"id": 3, "k": 100}).json()
    relevant = [match["relevant"] for match in api["matches"]]
    expected = average_precision_score(relevant, -np.arange(len(relevant)))
    assert f"average precision so far <b>{expected:.3f}</b>" in page


@pytest.mark.parametrize(
    ("path", "heading"),
    [
        ("/?is.label=none such", "No picture passes the filters"),
        ("/?id=3&filter=width > 9999", "No picture passes the filters"),
        ("/?id=3&filter=id == 3", "Only the query itself passes"),
        ("/?id=3&within=0", "None is within 0"),
        ("/?id=3&page=9", "No page 9"),
        ("/?page=9", "No page 9"),
        ("/?id=3&filter=width", "This condition cannot be read"),
        ("/?filter=width", "This condition cannot be read"),
    ],
)
def test_each_cause_of_nothing_has_its_page(served: Running, path: str, heading: str) -> None:
    page = httpx.get(served.address + path, headers=HTML).text
    assert page.count('class="empty"') == 1 and heading in page


def test_the_size_of_a_stored_code_is_said(tmp_path: Path, code: str, cache: Path) -> None:
    with (
        Collection.create(tmp_path / "half.nc", f"{code}/half", device="cpu") as made,
        in_process(made, Settings(cache=cache, decoders=1)) as client,
    ):
        for path in ("/quality", "/collection"):
            assert "128 values, 256 bytes (half)" in client.get(path).text
        about = client.get("/api/v1/collection").json()
        assert (about["dims"], about["dtype"], about["code_bytes"]) == (128, "half", 256)


def test_an_empty_collection_says_how_to_fill_it(tmp_path: Path, code: str, cache: Path) -> None:
    with (
        Collection.create(tmp_path / "empty.nc", code, device="cpu") as made,
        in_process(made, Settings(cache=cache, decoders=1)) as client,
    ):
        assert "Nothing is indexed yet" in client.get("/").text
        assert "Too few pictures" in client.get("/map").text
        assert client.get("/quality").status_code == client.get("/collection").status_code == 200
        bad = tmp_path / "bad.jpg"
        bad.write_bytes(b"no")
        made.add([bad])
        assert "No picture could be read" in client.get("/").text
        number = made.store.query("SELECT id FROM images")[0][0]
        assert "This file is not indexed" in client.get(f"/image/{number}").text


def test_uploads_become_addresses(client: TestClient) -> None:
    files = [("file", ("a.jpg", picture_file(900), "image/jpeg"))]
    state = "filter=width+%3E+3&k=6"
    answer = client.post("/find", files=files, data={"state": state}, follow_redirects=False)
    assert answer.status_code == 303
    found = Wanted.read(QueryParams(urlsplit(answer.headers["location"]).query))
    assert len(found.upload) == 1 and found.filter == "width > 3" and found.k == 6
    page = client.get(answer.headers["location"])
    assert page.status_code == 200 and page.text.count('class="cell"') == 6
    more = client.post(
        "/find",
        files=[("file", ("b.jpg", picture_file(901), "image/jpeg"))],
        data={"state": found.query, "how": "unlike"},
        follow_redirects=False,
    )
    unlike = Wanted.read(QueryParams(urlsplit(more.headers["location"]).query))
    assert unlike.upload == found.upload and len(unlike.exclude_upload) == 1
    wrong = client.post("/find", files=[("file", ("c.jpg", b"no picture", "image/jpeg"))])
    assert wrong.status_code == 422 and "Try another picture" in wrong.text
    gone = client.get(f"/?upload={'0' * 64}", headers=HTML)
    assert gone.status_code == 404 and "upload it again" in gone.text


def test_regions_become_addresses(served: Running) -> None:
    given = {"id": 3, "k": 6, "left": 25, "top": 10.04, "width": 50, "height": 99}
    answer = httpx.get(f"{served.address}/cropped", params=given)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?id=3&crop=0.25,0.1004,0.5,0.8996&k=6"
    whole = {"id": 3, "left": 0, "top": 0, "width": 100, "height": 100}
    answer = httpx.get(f"{served.address}/cropped", params=whole)
    assert answer.headers["location"] == "/?id=3"
    none = httpx.get(f"{served.address}/cropped", params={**whole, "width": 0})
    assert none.status_code == 400 and "larger" in none.text


def test_added_pictures_can_be_taken_back(client: TestClient, collection: Collection) -> None:
    before = count_images(collection.store)
    files = [("file", (f"{n}.jpg", picture_file(700 + n), "image/jpeg")) for n in range(2)]
    page = client.post("/collection/add", files=files)
    assert "2 pictures added" in page.text and count_images(collection.store) == before + 2
    added = re.findall(r'name="image" value="(\d+)"', page.text)
    client.post("/collection/remove", data={"image": added})
    assert count_images(collection.store) == before


def _wait(client: TestClient, path: str) -> str:
    import time

    until = time.monotonic() + 60
    while True:
        page = client.get(path).text
        if "Stop, and keep what is done" not in page:
            return page
        assert time.monotonic() < until
        time.sleep(0.05)


def test_duplicates_are_decided_remembered_and_undone(
    tmp_path: Path, code: str, cache: Path
) -> None:
    pictures = lay_pictures(tmp_path / "pictures", 30)
    for number in (0, 3):
        copy = picture_file(number)
        (pictures / "b" / f"copy{number}.jpg").write_bytes(copy)
    with Collection.create(tmp_path / "twice.nc", code, device="cpu") as made:
        made.sync([pictures])
        with in_process(made, Settings(cache=cache, decoders=1)) as client:
            assert "Not looked for yet" in client.get("/duplicates").text
            job = client.post("/jobs", data={"kind": "duplicates"}, follow_redirects=False)
            _wait(client, job.headers["location"])
            listed = client.get("/duplicates").text
            keys = re.findall(r'href="/duplicates/([0-9a-f]{64})"', listed)
            assert len(keys) >= 2 and f"<b>{len(keys)} groups</b>" in listed
            first = client.get(f"/duplicates/{keys[0]}").text
            ids = re.findall(r'name="keep" value="(\d+)"', first)
            assert "Keep 1, let 1 go" in first

            nothing = client.post(f"/duplicates/{keys[0]}", data={"choice": "keep"})
            assert nothing.status_code == 400 and "at least one" in nothing.text
            boxes = re.findall(r'<input type="checkbox" name="keep"[^>]*>', nothing.text)
            assert len(boxes) == 2 and not any("checked" in box for box in boxes)  # as they were

            kept = {"choice": "keep", "keep": [ids[1]]}
            onward = client.post(f"/duplicates/{keys[0]}", data=kept)
            assert str(onward.url).endswith(f"/duplicates/{keys[1]}?done={keys[0]}")
            assert "1 kept, 1 may go" in onward.text
            export = client.get("/api/v1/duplicates/export").text.splitlines()
            assert [json.loads(line)["id"] for line in export] == [int(ids[0])]

            client.post(f"/duplicates/{keys[0]}/undo")
            assert client.get("/api/v1/duplicates/export").text == ""

            client.post(f"/duplicates/{keys[1]}", data={"choice": "different"})
            job = client.post("/jobs", data={"kind": "duplicates"}, follow_redirects=False)
            _wait(client, job.headers["location"])
            assert keys[1] not in client.get("/duplicates").text
            assert "not the same" in client.get("/duplicates/decided").text
            client.post(f"/duplicates/{keys[1]}/undo")  # its group is not found any more
            assert "None yet" in client.get("/duplicates/decided").text
            job = client.post("/jobs", data={"kind": "duplicates"}, follow_redirects=False)
            _wait(client, job.headers["location"])
            assert keys[1] in client.get("/duplicates").text
            assert all((pictures / "b" / f"copy{n}.jpg").is_file() for n in (0, 3))


def test_jobs_have_pages(client: TestClient) -> None:
    assert "No jobs" in client.get("/jobs").text
    page = client.post("/jobs", data={"kind": "sync"})
    assert "Bring up to date" in page.text
    done = _wait(client, str(page.url))
    assert "<b>done</b>" in done
    assert "bring up to date" in client.get("/jobs").text
    assert client.post(f"{page.url}/stop").status_code == 200  # one that has ended stays as it is


def test_quality_shows_the_calibration_and_reports(
    place: Path, cache: Path, tmp_path: Path, code: str
) -> None:
    from PIL import Image

    run = tmp_path / "runs" / "mine"
    (run / "figures").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(run / "figures" / "map.png")
    (run / "figures" / "no.png").write_bytes(b"<script>")
    interval = {"map": {"L6": 0.5}, "map_low": {"L6": 0.4}, "map_high": {"L6": 0.6}}
    (run / "metrics.json").write_text(json.dumps(interval))
    with Collection.open(place, device="cpu") as opened:
        opened.calibrate_distances()
        settings_ = Settings(cache=cache, decoders=1, reports=(run, _choice(tmp_path)))
        with in_process(opened, settings_) as client:
            page = client.get("/quality").text
            assert "Run mine" in page and "0.400 to 0.600" in page and "Brier" in page
            drawn = client.get("/quality/calibration-dark-narrow.svg")
            assert drawn.content.lstrip().startswith(b"<?xml")
            assert drawn.headers["content-security-policy"].startswith("default-src 'none'")
            assert client.get("/quality/figures/0/map.png").status_code == 200
            assert "Choice mine-too" in page and "runs/reference@L7/pca256/int8" in page
            assert "mAP and size of each code" in page
            assert client.get("/quality/figures/1/choice.png").status_code == 200
            for other in ("0/no.png", "0/..%2fmetrics.json", "0/metrics.json", "1/map.png"):
                assert client.get(f"/quality/figures/{other}").status_code == 404
            results = client.get("/?id=3").text
            assert 'class="chance"' in results and "how often a result at this distance" in results


def _choice(folder: Path) -> Path:
    """A choice as `neuralcodes choose` left it."""
    kept = Path(__file__).parents[2] / "results" / "choosing"
    made = folder / "mine-too"
    (made / "figures").mkdir(parents=True)
    shutil.copy(kept / "caltech-101.json", made / "choice.json")
    shutil.copy(kept / "caltech-101.png", made / "figures" / "choice.png")
    return made


def test_filters_say_what_each_hides(served: Running) -> None:
    def text(query: str) -> str:
        html = httpx.get(f"{served.address}/{query}", headers=HTML).text
        return " ".join(re.sub("<[^>]+>", " ", html).split())

    one = text("?is.label=a")
    assert "10 of 30 pictures pass the filters; 20 are hidden." in one and "without it" not in one
    two = text("?id=3&is.label=a&filter=id>4")
    assert "6 of 30 pictures pass the filters; 24 are hidden." in two
    assert "label “a” hides 20 without it · the condition hides 4 without it" in two
    links = _Markup(httpx.get(f"{served.address}/?is.label=a&filter=id>4").text).links
    assert {"/?is.label=a", "/?filter=id%3E4"} <= links


def test_points_of_the_map(served: Running) -> None:
    data = httpx.get(f"{served.address}/map/points").content
    count = int(np.frombuffer(data, "<u4", 1)[0])
    assert count == 30
    wide: Callable[[int], int] = lambda size: -(-size // 8) * 8  # noqa: E731
    start = 8 + 2 * wide(4 * count)
    ids = np.frombuffer(data, "<f8", count, start)
    assert sorted(ids.tolist()) == list(range(1, 31))
    labels = np.frombuffer(data, "u1", count, start + 8 * count)
    assert set(labels.tolist()) == {0, 1, 2}


def test_every_section_has_its_page(served: Running) -> None:
    for name, url, _ in SECTIONS:
        page = httpx.get(served.address + url).text
        assert f'data-page="{name}"' in page and 'aria-current="page"' in page
