"""Who is let in, what is shown to whom, and what browsers are told."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from painted import paint
from PIL import Image
from serving import in_process
from starlette.testclient import TestClient

from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError
from neuralcodes.serve.settings import Settings

TOKEN = "a-token-of-some-length"


def test_beyond_loopback_only_with_a_good_token() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org", ""):
        with pytest.raises(UserError, match="needs a token"):
            Settings(host=host).check()
        with pytest.raises(UserError, match="at least 16"):
            Settings(host=host, token="short").check()
        Settings(host=host, token=TOKEN).check()
    for host in ("127.0.0.1", "::1", "localhost", "127.1.2.3"):
        Settings(host=host).check()


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:8321", 200), ("[::1]:80", 200), ("LOCALHOST", 200),
     ("evil.example", 403), ("localhost.evil.example", 403), ("127.0.0.1.evil.example", 403),
     ("", 403), ("[::1", 403), ("0x7f000001", 403)],
)  # fmt: skip
def test_other_names_for_this_machine_are_refused(
    client: TestClient, host: str, status: int
) -> None:
    """DNS rebinding: a page of evil.example whose name now leads to 127.0.0.1."""
    answer = client.get("/api/v1/collection", headers={"host": host})
    assert answer.status_code == status
    assert ("images" in answer.text) == (status == 200)


@pytest.mark.parametrize(
    ("headers", "through"),
    [({}, True), ({"origin": "http://localhost"}, True), ({"sec-fetch-site": "same-origin"}, True),
     ({"origin": "http://evil.example"}, False), ({"origin": "null"}, False),
     ({"origin": "http://localhost:9999"}, False), ({"sec-fetch-site": "cross-site"}, False),
     ({"sec-fetch-site": "same-site", "origin": "http://localhost"}, False)],
)  # fmt: skip
def test_other_sites_change_nothing(
    client: TestClient, headers: dict[str, str], through: bool
) -> None:
    answer = client.delete("/api/v1/images/1", headers=headers)
    assert answer.status_code == (200 if through else 403)
    assert client.get("/api/v1/images/1").status_code == (404 if through else 200)


def test_json_needs_its_type(client: TestClient) -> None:
    """What a form of another site can send without being asked first is no JSON."""
    answer = client.post(
        "/api/v1/jobs", content='{"kind": "compact"}', headers={"content-type": "text/plain"}
    )
    assert answer.status_code == 422


@pytest.fixture
def locked(collection: Collection, cache: Path) -> object:
    with in_process(
        collection, Settings(host="0.0.0.0", token=TOKEN, cache=cache, decoders=1)
    ) as client:
        yield client


def test_the_token_opens_and_nothing_else_does(locked: TestClient) -> None:
    def status(path: str = "/api/v1/collection", **headers: str) -> int:
        return locked.get(path, headers=headers).status_code

    assert status(authorization=f"Bearer {TOKEN}") == 200
    assert status(authorization=f"bearer {TOKEN}") == 200
    wrong = ["", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer ",
             "Bearer \xff"]  # fmt: skip
    for value in wrong:
        assert locked.get(
            "/api/v1/collection", headers={"authorization": value.encode("latin-1")}
        ).status_code == 401  # fmt: skip
    for path in ("/", "/docs", "/openapi.json", "/metrics", "/api/v1/images/1/thumbnail", "/no"):
        assert status(path) == 401
    assert status("/healthz") == 200 and status("/readyz") in (200, 503)
    assert status(cookie=f"neuralcodes={TOKEN}") == 401  # the token itself is no cookie
    assert status(cookie="neuralcodes=") == 401


def test_browsers_log_in_once(locked: TestClient) -> None:
    page = locked.get("/", headers={"accept": "text/html"})
    assert page.status_code == 401 and 'action="/login"' in page.text
    assert locked.post("/login", data={"token": "wrong"}).status_code == 401
    done = locked.post("/login", data={"token": TOKEN}, follow_redirects=False)
    assert done.status_code == 303 and done.headers["location"] == "/"
    cookie = done.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and TOKEN not in cookie
    assert locked.get("/api/v1/collection").status_code == 200
    evil = {"origin": "http://evil.example"}
    assert locked.delete("/api/v1/images/1", headers=evil).status_code == 403
    forged = locked.post("/login", data={"token": TOKEN}, headers=evil)
    assert forged.status_code == 403


def test_every_answer_has_the_headers(client: TestClient) -> None:
    paths = ["/api/v1/collection", "/api/v1/images/1/thumbnail", "/no", "/docs", "/healthz",
             "/api/v1/search", "/docs/../../etc/passwd"]  # fmt: skip
    for path in paths:
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy and "http:" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers


def test_thumbnails_hold_pixels_and_nothing_else_of_the_file(
    client: TestClient, collection: Collection, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    paint(900, 800, 500).save(tmp_path / "big.jpg", exif=exif, comment=b"<script>secret</script>")
    (tmp_path / "big.jpg").open("ab").write(b"<html><script>secret</script>")
    collection.add(tmp_path / "big.jpg")
    for side in (160, 320, 640):
        answer = client.get(f"/api/v1/images/31/thumbnail?side={side}&v=31")
        assert answer.headers["content-type"] == "image/jpeg", answer.text
        assert b"secret" not in answer.content
        with Image.open(io.BytesIO(answer.content)) as shown:
            assert max(shown.size) == side and not shown.getexif()
    assert "immutable" in answer.headers["cache-control"]
    same = client.get("/api/v1/images/31/thumbnail?side=640",
                      headers={"if-none-match": answer.headers["etag"]})  # fmt: skip
    assert same.status_code == 304 and not same.content
    assert client.get("/api/v1/images/31/thumbnail?side=4000").status_code == 422


def test_a_thumbnail_follows_the_file(client: TestClient, collection: Collection) -> None:
    first = client.get("/api/v1/images/1/thumbnail")
    record = collection.image(1)
    paint(901).save(record.path)
    kept = client.get("/api/v1/images/1/thumbnail")  # not indexed anew yet: what is remembered
    assert kept.content == first.content
    collection.sync()
    now = client.get("/api/v1/images/1/thumbnail")
    assert now.content != first.content and now.headers["etag"] != first.headers["etag"]


def test_no_way_to_other_files(client: TestClient) -> None:
    for path in (
        "/api/v1/images/..%2f..%2fetc%2fpasswd/thumbnail",
        "/api/v1/images/1/../../../../etc/passwd",
        "/api/v1/uploads/..%2f..%2f..%2fetc%2fpasswd/thumbnail",
        "/api/v1/uploads/" + "a" * 64 + "/thumbnail",
        "/docs/..%2f__init__.py",
        "/docs/core.py",
        "//etc/passwd",
        "/static/../../etc/passwd",
    ):
        answer = client.get(path)
        assert answer.status_code in (404, 422), path
        assert "root:" not in answer.text


def test_docs_need_nothing_from_outside(client: TestClient) -> None:
    page = client.get("/docs").text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) == 3 and all(link.startswith("/docs/") for link in links)
    for link in links:
        answer = client.get(link)
        assert answer.status_code == 200 and len(answer.content) > 100
    assert client.get("/openapi.json").json()["openapi"].startswith("3.1")


def test_names_of_files_are_data(client: TestClient, collection: Collection) -> None:
    """JSON with a type that is not sniffed: a name is never markup."""
    evil = collection.path.parent / "pictures" / "<img src=x onerror=alert(1)>.jpg"
    paint(902).save(evil, "JPEG")
    collection.sync()
    answer = client.get("/api/v1/images/31")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["name"] == evil.name


def test_errors_of_ours_are_plain(
    collection: Collection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret of the inside")

    with in_process(collection, settings) as client:
        monkeypatch.setattr(type(client.app.state.service), "info", broken)  # type: ignore[attr-defined]
        answer = client.get("/api/v1/collection")
        assert answer.status_code == 500 and "secret" not in answer.text
        assert answer.json()["error"] == "internal"
        assert "content-security-policy" in answer.headers


def test_errors_of_ours_are_a_page_for_people(
    collection: Collection,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret of the inside")

    people = {"accept": "text/html,*/*;q=0.8"}
    with in_process(collection, settings) as client:
        # what every page needs is broken too: its own page cannot need it
        monkeypatch.setattr(type(client.app.state.service), "jobs", broken)  # type: ignore[attr-defined]
        for path, headers in (("/", people), ("/jobs", people), ("/?id=3", {"hx-request": "true"})):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 500
            assert answer.headers["content-type"].startswith("text/html")
            assert "secret" not in answer.text and "Traceback" not in answer.text
            assert '<main id="main">' in answer.text  # where htmx puts it
            mark = re.search(r"under ([0-9a-f]{8})\.", answer.text)
            assert mark and mark[1] in caplog.text and "secret of the inside" in caplog.text
            assert "unsafe" not in answer.headers["content-security-policy"]
        assert client.get("/api/v1/jobs", headers=people).json()["error"] == "internal"
        assert client.get("/jobs").json()["error"] == "internal"


def test_refusals_before_any_route_are_pages_for_people(
    collection: Collection, cache: Path
) -> None:
    people = {"accept": "text/html"}
    with in_process(collection, Settings(cache=cache, decoders=1, active=0)) as client:
        for headers, status in ((people, 429), ({**people, "host": "evil.example"}, 403)):
            answer = client.get("/", headers=headers)
            assert answer.status_code == status and "<h1>" in answer.text
        busy = client.get("/api/v1/collection", headers=people)
        assert busy.status_code == 429 and busy.json()["error"] == "busy"
        assert client.get("/", headers=people).headers["retry-after"] == "1"
        post = client.post("/jobs", headers={**people, "origin": "http://evil.example"})
        assert post.status_code == 403 and "another site" in post.text.lower()
