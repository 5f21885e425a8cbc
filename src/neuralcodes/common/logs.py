"""How the command shows what the library logs: warnings, or with `-v` more, on standard error.

The library itself is quiet: its loggers (`neuralcodes` and below it one a module) have no handler
but `NullHandler`; whoever imports it shows them as any other's.
"""

from __future__ import annotations

import logging
import sys

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)  # by the number of -v


class _Shown(logging.Handler):
    """A line on standard error, above a progress bar that is being drawn.

    Where the root logger has handlers, as in a service, these alone speak.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if logging.getLogger().handlers:
            return
        try:
            line = self.format(record)
            if "tqdm" in sys.modules:
                from tqdm import tqdm

                tqdm.write(line, file=sys.stderr)
            else:
                print(line, file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


def show_logs(verbosity: int) -> None:
    """Show this process's log lines of `neuralcodes`.

    Args:
        verbosity: 0 for warnings, 1 also for what is done, 2 or more for all.
    """
    logger = logging.getLogger("neuralcodes")
    for handler in [one for one in logger.handlers if isinstance(one, _Shown)]:
        logger.removeHandler(handler)
    shown = _Shown()
    text = "%(message)s" if verbosity < 1 else "%(asctime)s %(levelname)s %(name)s: %(message)s"
    shown.setFormatter(logging.Formatter(text))
    logger.addHandler(shown)
    logger.setLevel(LEVELS[min(verbosity, len(LEVELS) - 1)])
