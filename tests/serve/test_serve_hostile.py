"""A sample of the hostile uploads; benchmarks/hostile.py sends them all."""

from __future__ import annotations

import io
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from hostile_corpus import corpus
from painted import picture_file
from PIL import Image
from serving import Running

ROUTES = ("/api/v1/search?k=3", "/api/v1/uploads", "/api/v1/images")
FINE = {200, 201, 400, 413, 422}  # 400: a name longer than a header may be


@pytest.mark.timeout(900)
def test_hostile_uploads_kill_nothing_but_their_own_request(place: Path, tmp_path: Path) -> None:
    limits = {"decode_seconds": 5.0, "cache": str(tmp_path / "cache"), "decoders": 1}
    running = Running(place, limits)
    running.wait_ready()
    outcomes: Counter[int] = Counter()
    with httpx.Client(base_url=running.address, timeout=60) as client:
        for number, (kind, name, data) in enumerate(corpus(120, seed=5)):
            route = ROUTES[number % len(ROUTES)]
            start = time.monotonic()
            answer = client.post(route, files={"file": (name, data)})
            assert answer.status_code in FINE, (kind, name, answer.status_code, answer.text)
            assert time.monotonic() - start < 30, kind
            assert b"root:" not in answer.content
            outcomes[answer.status_code] += 1
            if answer.is_success and route == "/api/v1/uploads":
                shown = client.get(answer.json()["thumbnail"])
                assert shown.headers["content-type"] == "image/jpeg"
                assert b"script" not in shown.content
                Image.open(io.BytesIO(shown.content)).load()
        fine = client.post(ROUTES[0], files={"file": ("a", picture_file(1))})
        assert fine.json()["matches"][0]["distance"] == 0
    assert outcomes[422] > 40 and outcomes[200] + outcomes[201] > 10, outcomes
    assert "Traceback" not in running.log(), running.log()
    assert running.stop() == 0
    assert not [path for path in tmp_path.rglob("*") if path.name in ("passwd", "evil.html")]
