"""Errors that a user can cause. The CLI prints them as one line and exits with status 2."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


class UserError(Exception):
    """Something the user can mend: the message names the file or option and the remedy.

    Everything else that is raised is a bug of ours and keeps its traceback.
    """


def run_script(main: Callable[[], None]) -> None:
    """Run a program of the repository: what a user can mend becomes one line, exit status 2."""
    try:
        main()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def needs_extra(package: str, extra: str) -> UserError:
    """The error for an optional dependency that is not installed."""
    return UserError(f'{package} is not installed: pip install "neuralcodes[{extra}]"')


def import_extra(module: str, extra: str) -> Any:
    """An optional module, loaded when it is first needed.

    Raises:
        UserError: its package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise needs_extra(module.partition(".")[0], extra) from None
