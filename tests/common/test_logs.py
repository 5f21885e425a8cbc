"""The library is quiet; who listens hears it; the command shows it above a bar, once."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuralcodes.common.logs import show_logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    logger = logging.getLogger("neuralcodes")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers[:], logger.level = handlers, level


SCRIPT = """
import logging, sys
{listen}
import neuralcodes
logging.getLogger("neuralcodes.somewhere").warning("look here")
logging.getLogger("neuralcodes.somewhere").info("and here")
"""


@pytest.mark.parametrize(
    ("listen", "heard"),
    [("", ""),
     ("logging.basicConfig()", "WARNING:neuralcodes.somewhere:look here\n"),
     ("logging.basicConfig(level='INFO')",
      "WARNING:neuralcodes.somewhere:look here\nINFO:neuralcodes.somewhere:and here\n")],
)  # fmt: skip
def test_the_library_leaves_it_to_who_imports_it(listen: str, heard: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(listen=listen)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", heard)


@pytest.mark.parametrize(("verbosity", "lines"), [(0, 1), (1, 2), (2, 3), (9, 3)])
def test_the_command_shows_as_much_as_asked_for(
    verbosity: int,
    lines: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's
    show_logs(2)
    show_logs(verbosity)  # instead of, not beside
    log = logging.getLogger("neuralcodes.part")
    log.debug("one"), log.info("two"), log.warning("%s", "three")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines
    assert said[-1] == "three" if not verbosity else said[-1].endswith("neuralcodes.part: three")


def test_a_service_s_own_log_alone_speaks(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    show_logs(1)
    logging.getLogger("neuralcodes.serve").info("hello")
    assert capsys.readouterr().err == "" and "hello" in caplog.text


def test_what_a_collection_does_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from PIL import Image

    from neuralcodes import Collection

    caplog.set_level("INFO", "neuralcodes")
    with Collection.create(tmp_path / "c.nc", "shipped", device="cpu") as collection:
        collection.add(Image.new("RGB", (40, 30), "red"))
    said = {record.name: record.getMessage() for record in caplog.records}
    assert said["neuralcodes.networks.opened"].startswith("opened network shipped (weights ")
    assert "1 new; 1 codes made" in said["neuralcodes.collection.adding"]
