"""Lines of code by folder, at a revision and now: `python tools/lines.py REVISION`, in Markdown.

Counted are lines with code: not empty ones, comments and docstrings, so that explaining more does
not look like more to understand. Now means the working tree: what git tracks, as it lies there.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tarfile
import tokenize
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACES = ("src/neuralcodes", "tests")
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def code_lines(source: str) -> int:
    """Lines of a Python file that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT and token.type != tokenize.ENDMARKER:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and ast.get_docstring(node, clean=False) is not None:
                lines -= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return len(lines)


def folder_of(path: str) -> str:
    """The folder that a file is counted in: the one below `PLACES`, or that place itself."""
    place = next(place for place in PLACES if path.startswith(f"{place}/"))
    head, _, rest = path.removeprefix(f"{place}/").partition("/")
    return f"{place}/{head}" if rest else place


def count(files: Iterable[tuple[str, str]]) -> Counter[str]:
    """Lines of code by folder, of files given as path and source."""
    lines: Counter[str] = Counter()
    for path, source in files:
        lines[folder_of(path)] += code_lines(source)
    return lines


def at(revision: str) -> Iterable[tuple[str, str]]:
    """The Python files of a revision."""
    with tarfile.open(fileobj=io.BytesIO(_git("archive", revision, "--", *PLACES))) as files:
        for member in files:
            file = files.extractfile(member) if member.name.endswith(".py") else None
            if file is not None:
                yield member.name, file.read().decode()


def now() -> Iterable[tuple[str, str]]:
    """The Python files that git tracks, as they lie in the working tree."""
    for path in _git("ls-files", "--", *PLACES).decode().splitlines():
        if path.endswith(".py") and (ROOT / path).is_file():
            yield path, (ROOT / path).read_text(encoding="utf-8")


def table(revision: str, before: Counter[str], after: Counter[str]) -> str:
    """Both counts as a Markdown table, with a line for each of `PLACES` altogether."""
    rows = [f"| folder | {revision} | now | change |", "| --- | ---: | ---: | ---: |"]
    for place in PLACES:
        folders = sorted(f for f in before | after if f == place or f.startswith(f"{place}/"))
        each = [(folder, before[folder], after[folder]) for folder in folders]
        total = (f"**{place}**", sum(row[1] for row in each), sum(row[2] for row in each))
        for name, old, new in [*each, total]:
            rows.append(f"| {name} | {old:,} | {new:,} | {new - old:+,} |")
    return "\n".join(rows)


def _git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/lines.py REVISION")
    print(table(sys.argv[1], count(at(sys.argv[1])), count(now())))
