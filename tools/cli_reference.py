"""Write docs/reference/commands.md from the commands: `python tools/cli_reference.py`."""

from __future__ import annotations

from pathlib import Path

from typer.core import TyperGroup
from typer.main import get_command

from neuralcodes.cli.main import make_app

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "commands.md"
WIDTH = 88
HEAD = """# Commands

Made from the commands' own help by `python tools/cli_reference.py`; a test compares the two.
Exit status: 0 done, 2 something that you can mend (one line says what), 130 interrupted.
"""


def page() -> str:
    """The reference of all commands, as Markdown."""
    group = get_command(make_app())
    assert isinstance(group, TyperGroup)
    parts = [HEAD]
    for name in ("", *sorted(group.commands)):
        command = group.commands[name] if name else group
        title = f"neuralcodes {name}".strip()
        context = command.context_class(
            command, info_name=title,
            terminal_width=WIDTH, max_content_width=WIDTH,
        )  # fmt: skip
        text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        parts.append(f"## {title}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
