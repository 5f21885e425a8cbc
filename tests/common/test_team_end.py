"""How a process of a team ends: by its own status, with all that was printed and `atexit` done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from made import make_spec, unit_rows
from neuralcodes.codes.store import Codes, save_codes
from ports import free_ports

ENDING = """
import atexit, sys
from pathlib import Path

from neuralcodes.common.team import end_of_team, start_team

folder, status = Path(sys.argv[1]), int(sys.argv[2])
team, _ = start_team("cpu")
ranks = team.gather(team.rank)
print(f"{team.rank} of {ranks} errs", end="", file=sys.stderr)
print(f"{team.rank} of {ranks}", end="")  # into a pipe: it waits in the buffer


def note():
    with open(folder / f"{team.rank}.exit", "w") as file:
        print("noted", file=file)
    print(" and left", end="")


atexit.register(note)
end_of_team(status)
(folder / f"{team.rank}.after").touch()
"""
COMMAND = """
import sys

from neuralcodes.cli.main import main

try:
    main()
finally:
    print("by Python's own end", file=sys.stderr)
"""


def run(
    program: str, words: list[str], ranks: int, environment: dict[str, str] | None = None
) -> list[tuple[int, str, str]]:
    """Status, output and errors of each rank, started as torchrun does."""
    port = str(free_ports(1)[0])
    started = []
    for rank in range(ranks):
        team = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", program, *words],
                env={**os.environ, **team, **where, **(environment or {})},
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
    told = [process.communicate(timeout=120) for process in started]
    return [(p.returncode, *texts) for p, texts in zip(started, told, strict=True)]


@pytest.mark.parametrize("status", [0, 2])
def test_all_is_kept_and_each_rank_has_its_status(status: int, tmp_path: Path) -> None:
    first, second = run(ENDING, [str(tmp_path), str(status)], 2)
    # one process tells for all, on stdout
    assert first == (status, "0 of [0, 1] and left", "0 of [0, 1] errs")
    assert second == (status, "", "1 of [0, 1] errs")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.exit", "1.exit"]
    assert (tmp_path / "1.exit").read_text() == "noted\n"


def test_a_process_alone_goes_on(tmp_path: Path) -> None:
    assert run(ENDING, [str(tmp_path), "2"], 1) == [(0, "0 of [0] and left", "0 of [0] errs")]
    assert (tmp_path / "0.after").exists()


@pytest.mark.slow
def test_the_command_ends_so_in_a_team_alone(tmp_path: Path) -> None:
    for part in range(2):
        keys = tuple(f"{row % 3}/{part}-{row}.jpg" for row in range(12))
        codes = unit_rows(12, 8, seed=part)
        save_codes(tmp_path / f"{part}", Codes(make_spec(8), codes, keys, f"{part}"))
    words = ["evaluate", f"{tmp_path}/0", f"{tmp_path}/1", "--protocol", "class-retrieval"]
    first, second = run(COMMAND, [*words, "--json"], 2)
    assert (first[0], first[2]) == (0, "") and second == (0, "", "")
    assert json.loads(first[1])["protocol"] == "class-retrieval"
    ((status, output, errors),) = run(COMMAND, [*words, "--json"], 1)
    assert (status, output, errors) == (0, first[1], "by Python's own end\n")
    # what a user can mend, found when the team has met
    for status, output, errors in run(COMMAND, [*words, "--rerank", "alpha-qe"], 2):
        assert (status, output) == (2, "")
        assert errors.startswith("neuralcodes: --rerank: ") and errors.count("\n") == 1
