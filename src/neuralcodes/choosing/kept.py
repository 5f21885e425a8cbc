"""`Kept`: results of a sweep, one small JSON file each, so that none is worked out twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json, write_json

FORMAT = 1


@dataclass
class Kept:
    """Results by what they depend on.

    Attributes:
        folder: of the files.
        made, found: how many were worked out now, and how many lay there.
    """

    folder: Path
    made: int = 0
    found: int = 0

    def has(self, facts: dict[str, Any]) -> bool:
        """Whether there is a result."""
        return self._path(facts).is_file()

    def get(self, facts: dict[str, Any], make: Callable[[], Any]) -> Any:
        """The result for these facts, made and kept if it is not there.

        Args:
            facts: all that the result depends on, JSON-ready.
            make: gives it, JSON-ready.
        """
        path = self._path(facts)
        try:
            kept = read_json(path)
            if kept["facts"] == facts:
                self.found += 1
                return kept["result"]
        except (UserError, KeyError, TypeError):
            pass  # absent or damaged
        result = make()
        write_json(path, {"facts": facts, "result": result}, indent=None)
        self.made += 1
        return result

    def _path(self, facts: dict[str, Any]) -> Path:
        text = json.dumps({"format": FORMAT, **facts}, sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
