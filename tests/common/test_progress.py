"""Bars in a pipe, a terminal and a notebook: real processes, a real pseudo-terminal and kernel."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import nbclient
import nbformat
import pytest

from neuralcodes.common import progress as module
from neuralcodes.common.progress import progress, watching

WORK = """
import sys, time
from neuralcodes.common import progress as module
module.LINE_SECONDS = {seconds}
with module.progress(40, "working", "thing") as bar:
    for number in range(40):
        time.sleep(0.02)
        bar.set_postfix({{"loss": number}}, refresh=False)
        bar.update()
"""


def said(seconds: float) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WORK.format(seconds=seconds)],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stderr.decode()  # not as text, which would turn \r into \n


def test_a_log_gets_whole_lines_now_and_then() -> None:
    text = said(0.25)
    assert "\r" not in text and "\x1b" not in text
    lines = text.splitlines()
    assert 2 <= len(lines) <= 5 and text.endswith("\n")
    for line in lines:
        assert re.search(r"working: .*\d+/40 \[00:0\d<00:0\d, .*thing/s, loss=\d+\]", line), line
    assert "40/40" in lines[-1] and "40/40" not in lines[-2]


def test_a_log_gets_nothing_of_short_work() -> None:
    assert said(module.LINE_SECONDS) == ""
    assert module.LINE_SECONDS >= 10


def test_what_came_earlier_does_not_count_for_the_speed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LINE_SECONDS", 0.0)
        clock = iter((0.0, 10.0, 10.0, 20.0, 20.0))
        patch.setattr(module.time, "monotonic", lambda: next(clock))
        with progress(100, "downloading", "B") as bar:
            bar.initial = 50
            bar.update(50)
            bar.update(20)
    lines = capsys.readouterr().err.splitlines()
    assert "70/100" in lines[-1] and "1.00B/s" in lines[-1]  # 20 in 20 s


def test_a_total_that_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LINE_SECONDS", 0.0)
        with progress(0, "rows", "row") as bar:
            bar.update(7)
    assert re.match(r"rows: 7row \[", capsys.readouterr().err)


def test_a_terminal_gets_a_line_that_is_drawn_again() -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", WORK.format(seconds=30)], stderr=follower, close_fds=True
    )
    os.close(follower)
    text = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        text += part
    os.close(leader)
    assert process.wait(30) == 0
    assert text.count(b"\r") >= 3 and b"40/40" in text


def run_in_kernel(*cells: str) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3").execute()
    return notebook


def test_a_notebook_gets_a_widget_or_a_bar() -> None:
    pytest.importorskip("ipywidgets", reason="needs ipywidgets")
    without = WORK.format(seconds=30).replace(
        "import sys, time", "import sys, time, importlib.util as u; u.find_spec = lambda name: None"
    )
    notebook = run_in_kernel(WORK.format(seconds=30), without)
    widget, bar = notebook.cells[0].outputs, notebook.cells[1].outputs
    (shown,) = [o for o in widget if o.output_type == "display_data"]
    assert "application/vnd.jupyter.widget-view+json" in shown.data
    assert not [o for o in widget if o.get("name") == "stderr"]
    text = "".join(o.text for o in bar if o.get("name") == "stderr")
    assert "40/40" in text and "working" in text


def test_a_watcher_is_told_instead(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[str, int, int]] = []
    with (
        watching(lambda what, done, total: told.append((what, done, total))),
        progress(3, "x") as bar,
    ):
        bar.update(2)
    assert told == [("x", 0, 3), ("x", 2, 3)] and capsys.readouterr().err == ""
