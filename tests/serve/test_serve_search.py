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
    assert grid.shape == np.array(answer["query"]).shape == (answer["rows"], answer["columns"])
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
    assert by["query"] == answer["query"]
    assert client.get("/api/v1/images/32/explanation").status_code == 400
