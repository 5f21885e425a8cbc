"""Several collections served together: other layers of a network, other pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from painted import lay_pictures, picture_file
from serving import Running
from starlette.testclient import TestClient
from test_page import HTML, PAGES, _Markup
from typer.testing import CliRunner

from neuralcodes.cli.main import make_app
from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError
from neuralcodes.serve.app import create_app
from neuralcodes.serve.client import Client, ServiceError
from neuralcodes.serve.services import names_of
from neuralcodes.serve.settings import Settings


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory, code: str) -> list[Path]:
    """L6 of 30 pictures; L5 of the same but the first ten, and of five others before them."""
    folder = tmp_path_factory.mktemp("layers")
    lay_pictures(folder / "pictures", 30)
    lay_pictures(folder / "others", 5, first=100)
    lay_pictures(folder / "rest", 20, first=10)
    places = [folder / "deep.nc", folder / "flat.nc"]
    with Collection.create(places[0], code, device="cpu") as made:
        made.sync([folder / "pictures"])
    with Collection.create(places[1], code.replace("@L6", "@L5"), device="cpu") as made:
        made.sync([folder / "others", folder / "rest"])
        made.set_metadata([{"id": 1, "stars": 3}])
    return places


@pytest.fixture
def both(layers: list[Path], cache: Path) -> Iterator[TestClient]:
    """The two together, in this process."""
    with (
        Collection.open(layers[0], device="cpu") as deep,
        Collection.open(layers[1], device="cpu") as flat,
    ):
        app = create_app(deep, Settings(cache=cache, decoders=1), [flat])
        with TestClient(app, base_url="http://localhost", follow_redirects=False) as client:
            yield client


def ids_of(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [match["image"]["id"] for match in answer.json()["matches"]]


def test_each_answers_at_its_own_address(both: TestClient, layers: list[Path]) -> None:
    listed = both.get("/api/v1/collections").json()["collections"]
    assert [(one["name"], one["root"], one["images"]) for one in listed] == [
        ("deep", "", 30), ("flat", "/c/flat", 25),
    ]  # fmt: skip
    assert listed == both.get("/c/flat/api/v1/collections").json()["collections"]
    for one, place in zip(listed, layers, strict=True):
        with Collection.open(place, device="cpu") as alone:
            assert one["fingerprint"] == alone.spec.fingerprint()
            near = both.get(f"{one['root']}/api/v1/search?id=3&k=10")
            assert ids_of(near) == [match.id for match in alone.search(3, 10)]
            match = near.json()["matches"][0]["image"]
            assert match["thumbnail"].startswith(f"{one['root']}/api/v1/images/")
            picture = both.get(match["thumbnail"])
            assert picture.content[:2] == b"\xff\xd8" and picture.headers["etag"]
            upload = both.post(
                f"{one['root']}/api/v1/search?k=5", files={"file": picture_file(200)}
            )
            assert ids_of(upload) == [match.id for match in alone.search(picture_file(200), 5)]
    assert (
        both.get("/c/deep/api/v1/search?id=3&k=10").json()["matches"]
        == (both.get("/api/v1/search?id=3&k=10").json()["matches"])
    )  # the first by its name too
    for path in ("/c/none/api/v1/collection", "/c/flatter/", "/c/", "/c/flat/c/deep/", "/c/flat"):
        assert both.get(path).status_code == 404, path


def test_what_is_shared_and_what_is_not(both: TestClient) -> None:
    data = picture_file(300)
    left = both.post("/c/flat/api/v1/uploads", files={"file": data}).json()
    assert left["thumbnail"].startswith("/c/flat/") and left["images"] == []
    for root in ("", "/c/flat"):  # an upload is known in both, and has a code of each
        assert len(ids_of(both.get(f"{root}/api/v1/search?upload={left['id']}&k=5"))) == 5
    added = both.post("/c/flat/api/v1/images", files={"file": data}).json()["images"][0]["id"]
    assert both.get("/c/flat/api/v1/collection").json()["images"] == 26
    assert both.get("/api/v1/collection").json()["images"] == 30
    job = both.post("/c/flat/jobs", data={"kind": "compact"})
    assert re.fullmatch(r"/c/flat/jobs/\d+", job.headers["location"])
    assert both.get("/api/v1/jobs").json()["jobs"] == []
    assert both.delete(f"/c/flat/api/v1/images/{added}").json() == {"removed": 1}
    metrics = both.get("/metrics").text
    assert 'neuralcodes_images{collection="deep"} 30.0' in metrics
    assert 'neuralcodes_images{collection="flat"} 25.0' in metrics
    for _ in range(200):
        ready = both.get("/readyz").json()
        if ready["ready"]:
            break
    parts = ("network", "service", "collection")
    assert set(ready["parts"]) == {f"{name}: {p}" for name in ("deep", "flat") for p in parts}


def test_the_document_names_the_addresses_and_the_client_finds_them(layers: list[Path]) -> None:
    first, second = layers
    running = Running(first, None, second)
    try:
        running.wait_ready()
        servers = httpx.get(f"{running.address}/openapi.json").json()["servers"]
        assert [one["url"] for one in servers] == ["/", "/c/flat"]
        assert servers[1]["description"] == "flat (small.safetensors@L5)"
        again = httpx.get(f"{running.address}/c/flat/openapi.json").json()
        assert again["servers"] == servers  # and nothing was added to it
        with Client(running.address) as deep, Client(running.address, collection="flat") as flat:
            assert [one.name for one in flat.collections().collections] == ["deep", "flat"]
            assert deep.info().dims == 128 and flat.info().dims == 512
            assert flat.ready().ready and flat.health().status == "ok"
            assert flat.thumbnail(1)[:2] == b"\xff\xd8"
        with Client(running.address, collection="../x") as nowhere, pytest.raises(ServiceError):
            nowhere.info()
    finally:
        assert running.stop() == 0


def at(answer: httpx.Response) -> tuple[str, dict[str, list[str]]]:
    assert answer.status_code == 303, answer.text
    place = urlsplit(answer.headers["location"])
    return place.path, parse_qs(place.query)


def test_the_switch_keeps_the_search(both: TestClient) -> None:
    there = both.get("/c/flat/api/v1/images?k=1000").json()["images"]
    by_name = {one["name"]: one["id"] for one in there}
    here = {one["name"]: one["id"] for one in both.get("/api/v1/images").json()["images"]}
    one, other = "0015.jpg", "0027.jpg"  # in both, under other ids
    assert here[one] != by_name[one]
    query = f"id={here[one]}&exclude={here[other]}&k=12&is.label=a&within=0.9&page=2"
    place, asked = at(both.get(f"/switch?to=flat&{query}"))
    assert place == "/c/flat/"
    assert asked == {
        "id": [str(by_name[one])],
        "exclude": [str(by_name[other])],
        "k": ["12"],
        "is.label": ["a"],
    }  # fmt: skip; distances of another code mean something else, and pages begin anew
    place, back = at(both.get(f"/c/flat/switch?to=deep&id={by_name[one]}"))
    assert (place, back) == ("/", {"id": [str(here[one])]})
    missing = here["0003.jpg"]  # not there: an upload of it
    _, asked = at(both.get(f"/switch?to=flat&id={missing}&id={here[one]}&crop=0.1,0.1,0.5,0.5"))
    (upload,) = asked["upload"]
    assert asked["id"] == [str(by_name[one])]
    near = both.get(f"/c/flat/api/v1/search?upload={upload}&k=3")
    alone = both.post("/c/flat/api/v1/search?k=3", files={"file": picture_file(3)})
    assert ids_of(near) == ids_of(alone)
    again = at(both.get(f"/switch?to=flat&upload={upload}&crop=0.1,0.1,0.5,0.5"))[1]
    assert again == {"upload": [upload], "crop": ["0.1,0.1,0.5,0.5"]}
    # filters that the other does not have are left out, others stay
    _, asked = at(both.get(f"/c/flat/switch?to=deep&id={by_name[one]}&is.stars=3&filter=stars>1"))
    assert asked == {"id": [str(here[one])]}
    _, asked = at(both.get(f"/switch?to=flat&id={here[one]}&filter=stars>1 or width>3"))
    assert asked["filter"] == ["stars>1 or width>3"]
    for path, status in (("/switch?to=none&id=1", 404), ("/switch?to=flat&id=999", 404),
                         ("/switch?id=1", 422)):  # fmt: skip
        answer = both.get(path, headers=HTML)
        assert answer.status_code == status and "<h1>" in answer.text


@pytest.mark.parametrize("path", [path for path in PAGES if path != "/nothing"])
def test_pages_stay_in_their_collection(both: TestClient, path: str) -> None:
    """Every link of a page below /c/flat leads there too, but for those of the switch."""
    answer = both.get(f"/c/flat{path}", headers=HTML)
    assert answer.status_code == 200, answer.text
    page = _Markup(answer.text)
    assert not page.wrong and len(page.links) >= 8
    own = page.links - set(switching_of(answer.text))
    assert not [link for link in own if not link.startswith(("/c/flat/", "#", "/page/"))]
    first = both.get(path, headers=HTML).text
    others = _Markup(first).links - set(switching_of(first))
    assert not [link for link in others if link.startswith("/c/")]


def switching_of(html: str) -> list[str]:
    found = re.search(r'<nav class="codes".*?</nav>', html, re.S)
    assert found is not None
    return [unescape(link) for link in re.findall(r'href="([^"]+)"', found[0])]


def test_the_switch_leads_to_the_same_place(both: TestClient) -> None:
    for path, there in (("/", "/c/flat/"), ("/duplicates", "/c/flat/duplicates"),
                        ("/jobs", "/c/flat/jobs"), ("/map", "/c/flat/map"),
                        ("/?id=3&k=6", "/switch?to=flat&id=3&k=6"),
                        ("/image/3", "/switch?to=flat&id=3"),
                        ("/why?image=3&by=4&back=id%3D4", "/switch?to=flat&id=4")):  # fmt: skip
        html = both.get(path, headers=HTML).text
        assert switching_of(html)[1] == there, path
        assert 'id="next-code"' in html and html.count('aria-current="true"') == 1


def test_names_are_addresses_and_each_its_own() -> None:
    paths = [Path(name) for name in ("a/cats.nc", "b/cats.nc", "c/cats", "d/My Pictures (2)!.nc",
                                     "e/写真.nc", "f/cats-2.nc")]  # fmt: skip
    names = names_of(paths)
    assert names[:3] == ["cats", "cats-2", "cats-3"] and len(set(names)) == len(names)
    assert all(re.fullmatch("[A-Za-z0-9_-]+", name) for name in names)


def test_what_cannot_be_served_together(layers: list[Path], cache: Path) -> None:
    with (
        Collection.open(layers[0], device="cpu") as one,
        Collection.open(layers[0], device="cpu") as same,
        pytest.raises(UserError, match="named twice"),
    ):
        create_app(one, Settings(cache=cache), [same])
    said = CliRunner().invoke(make_app(), ["serve", *map(str, layers), "--code", "small"])
    assert said.exit_code != 0 and "--code goes with one collection" in str(said.exception)


def test_a_collection_that_is_served_no_more_works_by_itself(place: Path, cache: Path) -> None:
    with Collection.open(place, device="cpu") as collection:
        with TestClient(create_app(collection, Settings(cache=cache, decoders=1))):
            served = collection.pictures.decoding
        assert collection.pictures.decoding is not served
        collection.add(picture_file(900), names=["later"])
        assert collection.search(picture_file(900), 1)[0].distance == 0


def test_one_collection_has_no_switch(client: TestClient) -> None:
    html = client.get("/?id=3", headers=HTML).text
    assert 'class="codes"' not in html and "next-code" not in html
    assert "servers" not in client.get("/openapi.json").json()
    assert [one["root"] for one in client.get("/api/v1/collections").json()["collections"]] == [""]
