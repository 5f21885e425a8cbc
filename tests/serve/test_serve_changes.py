"""Adding, removing, jobs and decisions, through the API."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest
from painted import lay_pictures, paint, picture_file
from PIL import Image
from starlette.testclient import TestClient

from neuralcodes.collection import sync
from neuralcodes.collection.collection import Collection
from neuralcodes.serve import adding


def ended(client: TestClient, job: dict[str, object]) -> dict[str, object]:
    for _ in range(600):
        job = client.get(f"/api/v1/jobs/{job['id']}").json()
        if job["state"] not in ("waiting", "running"):
            return job
        time.sleep(0.05)
    raise AssertionError(job)


def test_added_pictures_are_found_and_outlive_the_service(
    client: TestClient, collection: Collection, place: Path
) -> None:
    files = [("file", (f"new {n}.jpg", picture_file(700 + n))) for n in range(3)]
    answer = client.post("/api/v1/images", files=files, data={"metadata": '{"stars": 4}'})
    assert answer.status_code == 201, answer.text
    added = answer.json()["images"]
    assert [one["new"] for one in added] == [True] * 3
    near = client.post("/api/v1/search?k=1", files={"file": ("q", picture_file(701))}).json()
    assert near["matches"][0]["image"]["id"] == added[1]["id"]
    assert near["matches"][0]["distance"] == 0
    again = client.post("/api/v1/images", files=files[:1]).json()["images"]
    assert again == [{**added[0], "new": False}]
    with Collection.open(place, device="cpu") as other:
        assert len(other) == 33 and other.verify(images=True).whole
        record = other.image(added[2]["id"])
        assert record.metadata == {"stars": 4}
        assert Path(record.path).read_bytes() == picture_file(702)
    page = client.get("/api/v1/images", params={"filter": "stars == 4", "k": 2}).json()
    assert [one["id"] for one in page["images"]] == [one["id"] for one in added[:2]]
    rest = client.get(f"/api/v1/images?filter=stars==4&after={page['next']}").json()
    assert [one["id"] for one in rest["images"]] == [added[2]["id"]] and rest["next"] is None


@pytest.mark.parametrize(
    "name",
    ["../../../evil.jpg", "/etc/passwd", "..", "<script>alert(1)</script>.png", "a\u202egnp.jpg",
     "con\\..\\x", "x" * 1000, ".hidden", "%2e%2e%2fx", "{{7*7}}"],
)  # fmt: skip
def test_names_of_clients_lead_nowhere(client: TestClient, place: Path, name: str) -> None:
    before = {path for path in place.parent.rglob("*") if "made.nc" not in path.parts}
    answer = client.post("/api/v1/images", files={"file": (name, picture_file(710))})
    assert answer.status_code == 201, answer.text
    kept = answer.json()["images"][0]["name"]
    assert (place / "pictures" / f"{kept}.png").is_file()
    assert set(kept) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert {path for path in place.parent.rglob("*") if "made.nc" not in path.parts} == before


def test_bad_pictures_and_metadata_add_nothing(
    client: TestClient, collection: Collection, place: Path
) -> None:
    good = ("file", ("a.jpg", picture_file(720)))
    bad = ("file", ("b.jpg", picture_file(721)[:200]))
    assert client.post("/api/v1/images", files=[good, bad]).status_code == 422
    for text in ("x", "[1]", '{"path": 1}', '{"a b": 1}', '{"a": [1]}', '{"a": 1e400}'):
        answer = client.post("/api/v1/images", files=[good], data={"metadata": text})
        assert answer.status_code == 400, (text, answer.text)
    assert len(collection) == 30 and not list((place / "pictures").glob("*"))


def test_removed_images_are_gone_all_or_none(client: TestClient, collection: Collection) -> None:
    removal = {"ids": [1, 2, 99]}
    assert client.post("/api/v1/images/remove", json=removal).status_code == 404
    assert len(collection) == 30
    assert client.post("/api/v1/images/remove", json={"ids": [1, 2, 2]}).json() == {"removed": 2}
    assert client.delete("/api/v1/images/3").json() == {"removed": 1}
    assert client.delete("/api/v1/images/3").status_code == 404
    assert client.get("/api/v1/images/3/thumbnail").status_code == 404
    answer = client.get("/api/v1/search?id=4&k=30").json()
    assert not {1, 2, 3} & {match["image"]["id"] for match in answer["matches"]}
    assert len(answer["matches"]) == 26


def test_sync_is_a_job_with_real_counts(client: TestClient, place: Path) -> None:
    lay_pictures(place.parent / "pictures", 20, first=800)
    job = client.post("/api/v1/jobs", json={"kind": "sync"})
    assert job.status_code == 202
    done = ended(client, job.json())
    assert done["state"] == "done", done
    assert done["result"]["added"] == 20 and done["total"] == done["done"] == 20  # type: ignore[index]
    assert client.get("/api/v1/collection").json()["images"] == 50
    assert done in client.get("/api/v1/jobs").json()["jobs"]


def test_a_stopped_job_keeps_what_it_has_done(
    client: TestClient, collection: Collection, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "BATCH", 4)
    monkeypatch.setattr(sync, "COMMIT_IMAGES", 8)
    lay_pictures(place.parent / "pictures", 3000, first=1000)
    job = client.post("/api/v1/jobs", json={"kind": "sync"}).json()
    same = client.post("/api/v1/jobs", json={"kind": "sync"}).json()
    assert same["id"] == job["id"]
    while (now := client.get(f"/api/v1/jobs/{job['id']}").json())["done"] < 40:
        assert now["state"] in ("waiting", "running"), now
    client.post(f"/api/v1/jobs/{job['id']}/stop")
    stopped = ended(client, job)
    assert stopped["state"] == "stopped" and stopped["total"] == 3000
    assert 40 <= len(collection) - 30 < 3000
    assert len(collection) - 30 >= int(str(stopped["done"])) - 1
    assert collection.verify().whole
    again = client.post(f"/api/v1/jobs/{job['id']}/stop").json()
    assert again["state"] == "stopped"
    assert client.post("/api/v1/jobs/12345/stop").status_code == 404


def test_another_process_that_writes_is_waited_for_and_then_named(
    client: TestClient, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding, "OTHER_WRITER", 0.5)
    with Collection.open(collection.path, device="cpu") as other, other._writing():
        answer = client.post("/api/v1/images", files={"file": ("a", picture_file(730))})
    assert answer.status_code == 503 and "writing" in answer.json()["message"]
    assert int(answer.headers["retry-after"]) > 0
    assert client.post("/api/v1/images", files={"file": ("a", picture_file(730))}).is_success


def test_duplicates_decisions_and_what_may_go(
    client: TestClient, collection: Collection, place: Path
) -> None:
    pictures = place.parent / "pictures"
    (pictures / "c" / "copy.jpg").write_bytes((pictures / "a" / "0000.jpg").read_bytes())
    small = io.BytesIO()
    paint(1, 60, 40).save(small, "JPEG", quality=96)
    (pictures / "c" / "near.jpg").write_bytes(small.getvalue())
    collection.sync()
    assert client.get("/api/v1/duplicates").json()["state"] == "absent"
    done = ended(client, client.post("/api/v1/jobs", json={"kind": "duplicates"}).json())
    assert done["state"] == "done", done
    found = client.get("/api/v1/duplicates").json()
    assert found["state"] == "ready" and found["total"] >= 2, found
    exact = found["groups"][0]
    assert exact["kind"] == "exact" and len(exact["images"]) == 2
    ids = [image["id"] for image in exact["images"]]
    choose = "/api/v1/duplicates/choices"
    wrong = client.post(choose, json={"key": exact["key"], "choice": "keep", "keep": [99]})
    assert wrong.status_code == 400
    kept = client.post(choose, json={"key": exact["key"], "choice": "keep", "keep": ids[:1]})
    assert kept.json()["choice"] == "keep"
    lines = client.get("/api/v1/duplicates/export").text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids[1:]
    assert json.loads(lines[0])["keep"] == [exact["images"][0]["path"]]
    rest = client.get("/api/v1/duplicates?undecided=true").json()
    assert exact["key"] not in {group["key"] for group in rest["groups"]}
    near = next(group for group in found["groups"] if group["kind"] == "near")
    client.post(choose, json={"key": near["key"], "choice": "different"})
    threshold = found["threshold"]
    assert len(collection.duplicates(threshold)) == found["total"] - 1
    client.post(choose, json={"key": near["key"], "choice": None})
    assert len(collection.duplicates(threshold)) == found["total"]
    client.delete(f"/api/v1/images/{ids[1]}")
    after = client.get("/api/v1/duplicates").json()
    assert after["state"] == "stale"
    assert exact["key"] not in {group["key"] for group in after["groups"]}
    assert not client.get("/api/v1/duplicates/export").text
    assert len(list(pictures.rglob("*.jpg"))) == 32  # nothing was deleted


def test_what_there_is_to_know(client: TestClient, collection: Collection) -> None:
    info = client.get("/api/v1/collection").json()
    assert info["images"] == 30 and info["fingerprint"] == collection.spec.fingerprint()
    facets = client.get("/api/v1/collection/facets").json()["facets"]
    assert [facet["column"] for facet in facets] == ["label", "folder", "kind"]
    assert facets[0]["values"] == [{"value": v, "count": 10} for v in "abc"]
    (collection.path.parent / "pictures/a/bad.jpg").write_bytes(b"no picture")
    collection.sync()
    (bad,) = client.get("/api/v1/collection/bad").json()["files"]
    assert bad["path"].endswith("bad.jpg") and "not an image" in bad["reason"]


def test_only_decoders_open_pictures(
    client: TestClient, collection: Collection, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adding, bringing up to date and measuring duplicates: this process decodes nothing."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a picture was opened in the server's process")

    served = client.app.state.service  # type: ignore[attr-defined]
    service_pixels: list[int] = []
    decoders = served._pictures._decoders
    ask = decoders._ask
    monkeypatch.setattr(decoders, "_ask", lambda *a: service_pixels.append(1) or ask(*a))
    opened = ("collection.pictures.decode", "collection.pictures.open_picture",
              "collection.pictures.image_facts", "images.decode.decode",
              "images.decode.open_picture", "images.decode._open")  # fmt: skip
    for name in opened:
        monkeypatch.setattr(f"neuralcodes.{name}", never)
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    paint(720, 80, 40).save(turned, "JPEG", exif=exif)
    answer = client.post("/api/v1/images", files={"file": ("turned.jpg", turned.getvalue())})
    assert answer.status_code == 201, answer.text
    assert len(service_pixels) == 1  # once: the commit takes what the check was given
    added = client.get(f"/api/v1/images/{answer.json()['images'][0]['id']}").json()
    assert (added["width"], added["height"], added["kind"]) == (40, 80, "JPEG")  # upright
    lay_pictures(place.parent / "pictures", 3, first=730)
    (place.parent / "pictures" / "broken.jpg").write_bytes(b"no picture")
    job = ended(client, client.post("/api/v1/jobs", json={"kind": "sync"}).json())
    assert job["state"] == "done" and job["result"]["added"] == 4, job
    (bad,) = client.get("/api/v1/collection/bad").json()["files"]
    assert bad["path"].endswith("broken.jpg") and "not an image" in bad["reason"]
    monkeypatch.undo()  # measuring alters pictures, and decodes those that it made itself
    monkeypatch.setattr("neuralcodes.collection.pictures.open_picture", never)
    job = ended(client, client.post("/api/v1/jobs", json={"kind": "duplicates"}).json())
    assert job["state"] == "done", job
    with Collection.open(place, device="cpu") as other:
        assert other.verify(images=True).whole  # the codes are those that indexing makes
