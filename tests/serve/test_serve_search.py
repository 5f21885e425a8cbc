"""What the API finds is what `Collection.search` finds."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from painted import paint, picture_file
from PIL import Image
from starlette.testclient import TestClient

from neuralcodes.collection.collection import Collection


def found(answer: object) -> list[tuple[int, float]]:
    assert isinstance(answer, dict), answer
    return [(m["image"]["id"], m["distance"]) for m in answer["matches"]]


def same(answer: object, results: object) -> None:
    expected = [(match.id, match.distance) for match in results]  # type: ignore[attr-defined]
    assert [one for one, _ in found(answer)] == [one for one, _ in expected]
    assert np.allclose([d for _, d in found(answer)], [d for _, d in expected], atol=2e-6)


def send(client: TestClient, data: bytes, query: str = "") -> dict[str, object]:
    answer = client.post(f"/api/v1/search{query}", files={"file": ("x.jpg", data)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_by_ids_negatives_and_filter(client: TestClient, collection: Collection) -> None:
    same(client.get("/api/v1/search?id=3&k=7").json(), collection.search(3, 7))
    same(client.get("/api/v1/search?id=3&id=9&k=7").json(), collection.search([3, 9], 7))
    answer = client.get("/api/v1/search?id=3&exclude=11&exclude=5&k=30").json()
    same(answer, collection.search(3, 30, exclude=[11, 5]))
    assert len(answer["matches"]) < 27 and [one["id"] for one in answer["excluded"]] == [11, 5]
    query = {"id": 3, "k": 9, "filter": 'label == "b" or id < 4', "exact": True}
    same(
        client.get("/api/v1/search", params=query).json(),
        collection.search(3, 9, filter='label == "b" or id < 4'),
    )


def test_by_a_new_picture_and_by_a_known_one(client: TestClient, collection: Collection) -> None:
    new = picture_file(500)
    same(send(client, new, "?k=6"), collection.search(new, 6))
    known = (collection.path.parent / "pictures/b/0001.jpg").read_bytes()
    answer = send(client, known, "?k=2")
    same(answer, collection.search(known, 2))
    assert answer["matches"][0]["distance"] == 0  # type: ignore[index]


def test_several_pictures_and_an_image_together(client: TestClient, collection: Collection) -> None:
    one, two = picture_file(501), picture_file(502)
    files = [("file", ("a", one)), ("file", ("b", two))]
    answer = client.post("/api/v1/search?id=4&k=8", files=files).json()
    same(answer, collection.search([4, one, two], 8))


@pytest.mark.parametrize("box", [(0.25, 0.5, 0.5, 0.5), (0, 0, 1, 1), (0.9, 0.9, 0.4, 0.4)])
def test_a_part_of_a_picture(
    client: TestClient, collection: Collection, box: tuple[float, ...]
) -> None:
    big = io.BytesIO()
    paint(77, 200, 120).save(big, "PNG")
    pixels = (
        round(box[0] * 200),
        round(box[1] * 120),
        round(box[2] * 200),
        round(box[3] * 120),
    )
    crop = ",".join(map(str, box))
    expected = collection.search(big.getvalue(), 5, crop=pixels)
    same(send(client, big.getvalue(), f"?k=5&crop={crop}"), expected)
    name = client.post("/api/v1/uploads", files={"file": ("x", big.getvalue())}).json()["id"]
    same(client.get(f"/api/v1/search?upload={name}&k=5&crop={crop}").json(), expected)
    stored = client.get(f"/api/v1/search?id=2&k=5&crop={crop}").json()
    whole = collection.image(2)
    pixels = (
        round(box[0] * whole.width),
        round(box[1] * whole.height),
        round(box[2] * whole.width),
        round(box[3] * whole.height),
    )
    same(stored, [m for m in collection.search("id:2", 6, crop=pixels) if m.id != 2][:5])


def test_pages_are_the_whole_in_order(client: TestClient, collection: Collection) -> None:
    whole = [match.id for match in collection.search(8, 29)]
    pages, number = [], 1
    while True:
        answer = client.get(f"/api/v1/search?id=8&k=10&page={number}").json()
        pages += [one for one, _ in found(answer)]
        assert [m["rank"] for m in answer["matches"]] == list(
            range(10 * number - 9, 10 * number - 9 + len(answer["matches"]))
        )
        if not answer["more"]:
            break
        number += 1
    assert pages == whole and number == 3


def test_labels_mark_what_is_relevant(client: TestClient, collection: Collection) -> None:
    answer = client.get("/api/v1/search?id=3&k=29").json()
    label = collection.image(3).label
    marks = [m["relevant"] for m in answer["matches"]]
    assert marks == [m["image"]["label"] == label for m in answer["matches"]]
    assert sum(marks) == answer["relevant_total"] == 9


def test_a_batch_is_a_line_an_answer(client: TestClient, collection: Collection) -> None:
    queries = [{"id": [number], "k": 3} for number in (1, 2, 999, 4)] + [{"id": []}]
    answer = client.post("/api/v1/search/batch", json={"queries": queries})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["index"] for line in lines] == [0, 1, 2, 3, 4]
    same(lines[1]["answer"], collection.search(2, 3))
    assert lines[2]["problem"]["error"] == "not_found"
    assert lines[4]["problem"]["error"] == "bad_request"


def test_what_cannot_be_asked_is_said(client: TestClient) -> None:
    def refused(query: str, status: int, word: str) -> None:
        answer = client.get(f"/api/v1/search?{query}")
        assert answer.status_code == status, answer.text
        assert word in answer.json()["message"]

    refused("", 400, "nothing to search by")
    refused("id=31", 404, "no image 31")
    refused(f"upload={'0' * 64}", 404, "upload it again")
    refused("id=1&id=2&crop=0,0,.5,.5", 400, "one picture")
    refused("id=1&crop=0,0,0,.5", 400, "width and height")
    refused("id=1&crop=a", 422, "crop")
    refused("id=1&filter=nonsense", 400, "filter")
    refused("id=1&filter=id==99999999999999999999", 400, "filter")
    refused("id=1&filter=date<0001-01-01", 400, "filter")
    refused("id=1&filter=path~'*******************'", 400, "filter")
    refused("id=1&k=1000&page=11", 400, "at most")
    refused("id=x", 422, "id")
    refused("id=1&colour=red", 422, "colour")
    refused("text=a+cat", 400, "knows no texts")


def test_paths_and_addresses_are_no_queries(client: TestClient, place: Path) -> None:
    """Only ids and uploads: nothing that a client writes is opened as a file or an address."""
    for value in ("/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/", "id:1", str(place)):
        assert client.get("/api/v1/search", params={"id": value}).status_code == 422
        assert client.get("/api/v1/search", params={"upload": value}).status_code == 422


def test_explanation_finds_what_two_pictures_share(
    client: TestClient, collection: Collection, tmp_path: Path
) -> None:
    """Two pictures alike but for their lower right: hiding what they share puts them apart."""
    base = np.asarray(paint(600, 64, 64)).copy()
    other = base.copy()
    other[32:, 32:] = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    for number, pixels in enumerate((base, other)):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    collection.add([tmp_path / "0.png", tmp_path / "1.png"])
    answer = client.get("/api/v1/images/32/explanation?by=31").json()
    grid = np.array(answer["image"])
    (asked,) = answer["queries"]
    assert grid.shape == np.array(asked["map"]).shape == (answer["rows"], answer["columns"])
    assert (asked["id"], asked["weight"], asked["similarity"]) == (31, 1, answer["similarity"])
    assert np.isclose(answer["distance"], collection.search(31, 40).matches[0].distance, atol=1e-5)
    expected = float(np.prod(collection.codes([31, 32]), axis=0).sum())
    assert np.isclose(answer["similarity"], expected, atol=1e-5)
    assert np.isclose(grid.sum() + answer["rest_image"], expected, atol=1e-4)
    half = len(grid) // 2
    outside = np.ones(grid.shape, bool)
    outside[half:, half:] = False
    assert grid[outside].mean() > grid[half:, half:].mean()
    for side in ("query", "image"):
        picture = client.get(f"/api/v1/images/32/explanation/{side}?by=31")
        assert Image.open(io.BytesIO(picture.content)).size == (384, 384)
    upload = client.post("/api/v1/uploads", files={"file": (tmp_path / "0.png").read_bytes()})
    by = client.get(f"/api/v1/images/32/explanation?upload={upload.json()['id']}").json()
    assert by["queries"][0]["map"] == asked["map"]
    assert client.get("/api/v1/images/32/explanation").status_code == 400


def test_explanation_of_a_region_is_that_of_the_region(
    client: TestClient, collection: Collection, tmp_path: Path
) -> None:
    """Independently: a file that holds the region alone is explained alike."""
    whole = np.random.default_rng(2).integers(0, 256, (80, 120, 3), np.uint8)
    Image.fromarray(whole).save(tmp_path / "whole.png")
    Image.fromarray(whole[20:60, 30:90]).save(tmp_path / "part.png")
    collection.add([tmp_path / "whole.png", tmp_path / "part.png"])
    crop = "crop=0.25,0.25,0.5,0.5"
    region = client.get(f"/api/v1/images/3/explanation?by=31&{crop}").json()
    part = client.get("/api/v1/images/3/explanation?by=32").json()
    for name in ("similarity", "distance", "image"):
        assert region[name] == part[name], name
    assert region["queries"][0]["map"] == part["queries"][0]["map"]
    assert (
        region["similarity"]
        != client.get("/api/v1/images/3/explanation?by=31").json()["similarity"]
    )
    near = client.get(f"/api/v1/search?id=31&{crop}&k=40").json()["matches"]
    assert region["distance"] == pytest.approx(
        next(m["distance"] for m in near if m["image"]["id"] == 3), abs=1e-5
    )
    heats = [
        client.get(f"/api/v1/images/3/explanation/query?{what}").content
        for what in (f"by=31&{crop}", "by=32", "by=31")
    ]
    assert heats[0] == heats[1] != heats[2]
    both = client.get(f"/api/v1/images/3/explanation?by=31&by=4&{crop}")
    assert both.status_code == 400 and "several" in both.json()["message"]


def test_explanation_of_several_pictures_adds_up(
    client: TestClient, collection: Collection
) -> None:
    data = picture_file(650)
    upload = client.post("/api/v1/uploads", files={"file": data}).json()["id"]
    asked = f"by=1&by=2&upload={upload}"
    answer = client.get(f"/api/v1/images/9/explanation?{asked}").json()
    (own,) = collection.search(data, 1).asked  # any way to its code: by the collection itself
    codes = np.stack([*collection.codes([1, 2]), collection._asking.code(own)]).astype(np.float64)
    mean = codes.sum(axis=0)
    mean /= np.linalg.norm(mean)
    expected = float(mean @ collection.codes([9])[0])
    assert answer["similarity"] == pytest.approx(expected, abs=1e-5)
    near = client.get(f"/api/v1/search?id=1&id=2&upload={upload}&k=40").json()["matches"]
    distance = next(m["distance"] for m in near if m["image"]["id"] == 9)
    assert answer["distance"] == pytest.approx(distance, abs=1e-5)
    shares = [one["weight"] * one["similarity"] for one in answer["queries"]]
    assert sum(shares) == pytest.approx(answer["similarity"], abs=1e-5)
    assert [(one["id"], one["upload"]) for one in answer["queries"]] == [
        (1, None), (2, None), (None, upload),
    ]  # fmt: skip
    total = np.sum(answer["image"]) + answer["rest_image"]
    assert total == pytest.approx(answer["similarity"], abs=1e-4)
    for one in answer["queries"]:
        assert np.sum(one["map"]) + one["rest"] == pytest.approx(one["similarity"], abs=1e-4)
    alone = client.get("/api/v1/images/9/explanation?by=2").json()
    assert answer["queries"][1]["map"] == alone["queries"][0]["map"]
    heats = [
        client.get(f"/api/v1/images/9/explanation/query?{asked}&which={n}").content
        for n in range(3)
    ]
    assert len(set(heats)) == 3
    assert client.get(f"/api/v1/images/9/explanation/query?{asked}&which=3").status_code == 400
    many = "&".join(f"by={n}" for n in range(1, 10))
    assert client.get(f"/api/v1/images/9/explanation?{many}").status_code == 422
