"""docs/reference/commands.md says what the commands say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_the_commands_own_help() -> None:
    place = ROOT / "tools" / "cli_reference.py"
    spec = importlib.util.spec_from_file_location("cli_reference", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kept = module.PAGE.read_text(encoding="utf-8")
    assert kept == module.page(), "write it anew: python tools/cli_reference.py"
    assert kept.count("\n## neuralcodes ") == len(module.get_command(module.app).commands)
