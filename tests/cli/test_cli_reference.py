"""docs/reference/commands.md says what the commands say."""

from __future__ import annotations

from scripts import load_script


def test_the_page_is_the_commands_own_help() -> None:
    module = load_script("tools/cli_reference.py")
    kept = module.PAGE.read_text(encoding="utf-8")
    assert kept == module.page(), "write it anew: python tools/cli_reference.py"
    assert kept.count("\n## neuralcodes ") == len(module.get_command(module.make_app()).commands)
