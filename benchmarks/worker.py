"""A contestant in a process of its own, in whatever environment: made once, asked again and again.

    PYTHON benchmarks/worker.py MODULE:FUNCTION '{"argument": …}'

`FUNCTION(**arguments)` makes everything ready and returns a callable. Each line of JSON on standard
input holds keyword arguments for it; the answer is a line with the seconds that the call took,
by the clock and of processor time, and what it returned. The pipe itself is not timed.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    sys.path.insert(0, str(Path(__file__).parent))
    module, _, name = sys.argv[1].partition(":")

    def answer(value: dict[str, Any]) -> None:
        print(json.dumps(value, default=float), file=answers, flush=True)

    try:
        start = time.perf_counter()
        work = getattr(importlib.import_module(module), name)(**json.loads(sys.argv[2]))
        answer({"seconds": time.perf_counter() - start})
        for line in sys.stdin:
            arguments = json.loads(line)
            start, cpu = time.perf_counter(), time.process_time()
            result = work(**arguments)
            seconds, in_cpu = time.perf_counter() - start, time.process_time() - cpu
            answer({"seconds": seconds, "cpu_seconds": in_cpu, "result": result})
    except Exception as error:
        traceback.print_exc()
        answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
