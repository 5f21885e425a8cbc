"""Protocols from outside, in real installed packages and a process of their own."""

import os
import subprocess
import sys

import pytest

from neuralcodes.evaluation.protocols.registry import get_protocol, register

READER = """
from neuralcodes.evaluation.measures import AVERAGE_PRECISION
from neuralcodes.evaluation.protocols.groundtruth import GroundTruth, Lists, Query
from neuralcodes.evaluation.protocols.registry import register

@register("outside", "from outside")
def read(path, keys):
    return GroundTruth("outside", (Query("a", "a"),), None, {"": Lists((("b",),), ((),))}, False,
                       (AVERAGE_PRECISION,))
"""


def install(folder, module: str) -> dict[str, str]:
    """A package as pip leaves it: its module and the metadata that declares it."""
    (folder / "outside_protocol.py").write_text(module)
    info = folder / "outside_protocol-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-protocol\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[neuralcodes.protocols]\noutside = outside_protocol\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}


def ask(environment: dict[str, str], name: str) -> str:
    code = (
        "from neuralcodes.evaluation.protocols.registry import get_protocol\n"
        "from neuralcodes.common.errors import UserError\n"
        f"try: print(get_protocol({name!r}).open(None, ()).protocol)\n"
        "except UserError as error: print('refused:', error)"
    )
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_a_package_brings_a_protocol(tmp_path):
    environment = install(tmp_path, READER)
    assert ask(environment, "outside") == "outside\n"
    assert "outside, own" in ask(environment, "none")


def test_a_broken_package_is_named_and_harms_no_other_protocol(tmp_path):
    environment = install(tmp_path, "import nothing_of_that_name")
    assert "from outside-protocol) cannot be loaded" in ask(environment, "outside")
    assert ask(environment, "holidays").startswith("refused: holidays: no image")


def test_names_cannot_be_taken_twice():
    get_protocol("own")

    def read(path, keys):
        raise AssertionError

    with pytest.raises(ValueError, match="'own' is taken by neuralcodes"):
        register("own", "mine")(read)
