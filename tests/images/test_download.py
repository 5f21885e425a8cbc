from __future__ import annotations

import hashlib
import http.server
import os
import re
import socket
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from neuralcodes.common.errors import UserError
from neuralcodes.images.download import download, ensure_tiny_imagenet
from neuralcodes.images.tinyimagenet import tiny_imagenet

CONTENT = np.random.default_rng(3).bytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
NO_PAUSE = (0.0, 0.0, 0.0)


@dataclass
class Server:
    """A file server on loopback that behaves as told.

    Attributes:
        content: what it serves.
        ranges: whether it knows `Range`.
        etag, modified: what it calls the version of its file.
        length: whether it says how long the file is.
        cuts: after so many bytes it closes the connection, one entry an answer.
        errors: statuses that it answers with, one an answer.
        asked: the `Range` header of each request.
    """

    content: bytes = CONTENT
    ranges: bool = True
    etag: str | None = '"one"'
    modified: str | None = None
    length: bool = True
    cuts: list[int] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)
    sent: int = 0
    url: str = ""


def _handler(server: Server) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            server.asked.append(wanted)
            if server.errors:
                self.send_error(server.errors.pop(0))
                return
            total, start = len(server.content), 0
            known = self.headers.get("If-Range") in (None, server.etag, server.modified)
            if wanted and server.ranges and known:
                match = re.fullmatch(r"bytes=(\d+)-", wanted)
                assert match
                start = int(match[1])
                if start >= total:
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{total}")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            else:
                self.send_response(200)
            if server.length:
                self.send_header("Content-Length", str(total - start))
            if server.etag:
                self.send_header("ETag", server.etag)
            if server.modified:
                self.send_header("Last-Modified", server.modified)
            self.end_headers()
            body = server.content[start:]
            if server.cuts:
                body = body[: server.cuts.pop(0)]
            server.sent += len(body)
            self.wfile.write(body)
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    told = Server()
    real = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(told))
    thread = threading.Thread(target=real.serve_forever, args=(0.05,))
    thread.start()
    told.url = f"http://127.0.0.1:{real.server_port}/tiny-imagenet-200.zip"
    yield told
    real.shutdown()
    real.server_close()
    thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "tiny-imagenet-200.zip"


def check(target: Path, content: bytes = CONTENT) -> None:
    """The file is whole, and nothing but the lock is left beside it."""
    assert target.read_bytes() == content
    assert sorted(path.name for path in target.parent.iterdir()) == [
        f".{target.name}.lock", target.name
    ]  # fmt: skip


def error_of(server: Server, target: Path, md5: str | None = MD5) -> str:
    with pytest.raises(UserError) as caught:
        download(server.url, target, md5, NO_PAUSE)
    assert "\n" not in str(caught.value)
    assert not target.exists()
    return str(caught.value)


@pytest.mark.parametrize("md5", [MD5, None])
@pytest.mark.parametrize("length", [True, False])
def test_whole_download(server: Server, target: Path, md5: str | None, length: bool) -> None:
    server.length = length
    download(server.url, target, md5, NO_PAUSE)
    check(target)
    assert server.asked == [None]


def test_progress_is_shown(
    server: Server,
    target: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("neuralcodes.common.progress.LINE_SECONDS", 0.0)
    download(server.url, target, MD5, NO_PAUSE)
    assert "downloading" in capsys.readouterr().err


@pytest.mark.parametrize(
    "version", [{}, {"etag": None, "modified": "Tue, 01 Jan 2019 00:00:00 GMT"}]
)
@pytest.mark.parametrize("md5", [MD5, None])
def test_cut_connection_goes_on_where_it_stopped(
    server: Server, target: Path, version: dict[str, str | None], md5: str | None
) -> None:
    vars(server).update(version)
    server.cuts = [1_000_000, 500_000, 1]
    download(server.url, target, md5, NO_PAUSE)
    check(target)
    assert server.asked == [None, "bytes=1000000-", "bytes=1500000-", "bytes=1500001-"]
    assert server.sent == len(CONTENT), "nothing came twice"


def test_next_run_goes_on_where_it_stopped(server: Server, target: Path) -> None:
    server.cuts = [1_000_000, 0, 0, 0, 0]
    message = error_of(server, target)
    assert "connection lost after 1.0 of 3.0 MB" in message
    assert "run again to go on from there" in message
    server.cuts = []
    server.asked.clear()
    download(server.url, target, MD5, NO_PAUSE)
    check(target)
    assert server.asked == ["bytes=1000000-"]


def test_server_without_ranges_sends_all_again(server: Server, target: Path) -> None:
    server.ranges = False
    server.cuts = [1_000_000]
    download(server.url, target, MD5, NO_PAUSE)
    check(target)
    assert server.asked == [None, "bytes=1000000-"]


def test_file_that_changed_on_the_server_is_fetched_anew(server: Server, target: Path) -> None:
    """Halves of two versions are never put together, even without a checksum."""
    server.cuts = [1_000_000, 0, 0, 0, 0]
    error_of(server, target, None)
    server.cuts = []
    server.content = CONTENT[::-1]
    server.etag = '"two"'
    download(server.url, target, None, NO_PAUSE)
    check(target, CONTENT[::-1])


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_version_only_a_checksum_allows_to_go_on(
    server: Server, target: Path, etag: str | None
) -> None:
    server.etag = etag
    server.cuts = [1_000_000]
    download(server.url, target, None, NO_PAUSE)
    check(target)
    assert server.asked == [None, None]
    target.unlink()
    server.asked.clear()
    server.cuts = [1_000_000]
    download(server.url, target, MD5, NO_PAUSE)
    check(target)
    assert server.asked == [None, "bytes=1000000-"]


def test_part_of_another_address_is_not_used(server: Server, target: Path) -> None:
    server.cuts = [1_000_000, 0, 0, 0, 0]
    error_of(server, target)
    server.asked.clear()
    server.cuts = []
    download(server.url.replace("tiny", "other"), target, MD5, NO_PAUSE)
    check(target)
    assert server.asked == [None]


def test_part_that_is_whole_already(server: Server, target: Path) -> None:
    """Killed between the last byte and the rename."""
    server.cuts = [1_000_000, 0, 0, 0, 0]
    error_of(server, target)
    target.with_name(f"{target.name}.part").write_bytes(CONTENT)
    server.cuts = []
    download(server.url, target, MD5, NO_PAUSE)
    check(target)
    assert server.sent == 1_000_000


def test_part_that_is_too_long_is_started_anew(server: Server, target: Path) -> None:
    server.cuts = [1_000_000, 0, 0, 0, 0]
    error_of(server, target)
    target.with_name(f"{target.name}.part").write_bytes(CONTENT + b"more")
    server.cuts = []
    download(server.url, target, MD5, NO_PAUSE)
    check(target)


def test_wrong_checksum(server: Server, target: Path) -> None:
    server.content = b"not the file" * 1000
    message = error_of(server, target)
    found = hashlib.md5(server.content).hexdigest()
    assert f"wrong checksum (MD5 {found}, expected {MD5})" in message
    assert not target.with_name(f"{target.name}.part").exists()
    server.content = CONTENT
    download(server.url, target, MD5, NO_PAUSE)
    check(target)


@pytest.mark.parametrize("status, text", [(404, "Not Found"), (403, "Forbidden")])
def test_refusal_of_the_server(server: Server, target: Path, status: int, text: str) -> None:
    server.errors = [status] * 9
    message = error_of(server, target)
    assert message.startswith(f"{server.url}: the server answers {status} {text}; ")
    assert "--data" in message
    assert len(server.asked) == 1, "asking again would not help"


def test_busy_server_is_asked_again(server: Server, target: Path) -> None:
    server.errors = [503, 500]
    download(server.url, target, MD5, NO_PAUSE)
    check(target)
    target.unlink()
    server.errors = [503] * 9
    server.asked.clear()
    assert "the server answers 503" in error_of(server, target)
    assert len(server.asked) == 1 + len(NO_PAUSE)


def test_no_network(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        for host in (f"127.0.0.1:{taken.getsockname()[1]}", "no-such-host.invalid"):
            with pytest.raises(UserError) as caught:
                download(f"http://{host}/a.zip", target, MD5, (9999.0,))
            assert str(caught.value).startswith(f"http://{host}/a.zip: cannot be reached (")
            assert "check the network" in str(caught.value)
            assert "--data" in str(caught.value)
            assert "\n" not in str(caught.value)


def test_silent_server_is_given_up(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("neuralcodes.images.download.TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.zip"
        with pytest.raises(UserError, match="timed out"):
            download(url, target, MD5, NO_PAUSE)


def test_no_right_to_write(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "a.zip", Path("/proc/neuralcodes/a.zip")):
        with pytest.raises(UserError, match="choose another place") as caught:
            download(server.url, place, MD5, NO_PAUSE)
        assert str(place.parent) in str(caught.value)
    assert server.asked == []


def test_full_disk(server: Server, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)],
        check=False, capture_output=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no right to mount a small disk ({made.stderr.decode().strip()})")
    try:
        assert "are free on this disk" in error_of(server, place / "a.zip")
        assert not (place / "a.zip.part").exists(), "refused before anything is written"
        server.length = False  # then only the disk can tell
        assert "cannot write: the disk is full" in error_of(server, place / "a.zip")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_two_processes_share_one_download(
    server: Server, target: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from neuralcodes.images.download import download\n"
        "download(sys.argv[1], Path(sys.argv[2]), sys.argv[3])"
    )
    running = [start(code, server.url, target, MD5) for _ in range(2)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    check(target)
    assert server.sent == len(CONTENT)


def test_ensure_takes_what_is_there(
    server: Server, cache: Path, tmp_path: Path, encode: Callable[..., bytes]
) -> None:
    path = tmp_path / "small.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for wnid in ("n1", "n2"):
            name = f"tiny-imagenet-200/train/{wnid}/images/{wnid}_0.JPEG"
            archive.writestr(name, encode(64, 64))
    server.content = path.read_bytes()
    md5 = hashlib.md5(server.content).hexdigest()
    given = tmp_path / "anything"
    assert ensure_tiny_imagenet(given, server.url, md5) == given
    assert server.asked == []
    place = ensure_tiny_imagenet(None, server.url, md5)
    assert place == cache / "downloads" / "tiny-imagenet-200.zip"
    assert len(tiny_imagenet(place)) == 2
    assert ensure_tiny_imagenet(None, server.url, md5) == place
    assert len(server.asked) == 1


@pytest.mark.skipif(
    not os.environ.get("NEURALCODES_TEST_NETWORK"),
    reason="asks the official server: set NEURALCODES_TEST_NETWORK=1",
)
def test_official_address_answers() -> None:
    import urllib.request

    from neuralcodes.images.download import OFFICIAL

    request = urllib.request.Request(OFFICIAL, method="HEAD")
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 200
        assert int(response.headers["Content-Length"]) > 200e6
