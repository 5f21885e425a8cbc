"""Hooks of the documentation's build: pages may link to files of the repository.

Where a page names a file outside docs/ (`../results/…`), the file is copied into the site, so that
the pages read the same on the site, on a code host and on disk. A folder becomes a list of its
files.
Formulas between dollar signs become MathML, which browsers show without a script from outside.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PLACE = "repository"
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
FORMULA = re.compile(r"(?<![\\\w])\$([^$\n]+)\$(?!\w)")
LINK = re.compile(r"\]\(((?:\.\./)+[^)#\s]+)(#[^)\s]*)?\)")


def outside(page: str, link: str) -> Path | None:
    """The file of the repository that a page's link means; None for one of the documentation."""
    target = (ROOT / "docs" / page).parent.joinpath(link).resolve()
    inside = target.is_relative_to(ROOT / "docs") or not target.is_relative_to(ROOT)
    return None if inside or not target.exists() else target


def on_files(files: Files, config: Any) -> Files:
    """Take the files in that pages name."""
    for page in list(files.documentation_pages()):
        for link, _ in LINK.findall(page.content_string):
            target = outside(page.src_uri, link)
            if target is None:
                continue
            name = f"{PLACE}/{target.relative_to(ROOT).as_posix()}"
            if target.is_dir():
                names = sorted(path.name for path in target.iterdir())
                text = f"# {target.relative_to(ROOT)}\n\n" + "".join(f"- {n}\n" for n in names)
                made = File.generated(config, f"{name}/index.md", content=text)
            else:
                made = File.generated(config, name, abs_src_path=str(target))
            if made.src_uri not in files.src_uris:
                files.append(made)
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Point links to repository files at their copies, and typeset formulas."""
    here = page.file.src_uri
    up = "../" * here.count("/")

    def replace(match: re.Match[str]) -> str:
        target = outside(here, match[1])
        if target is None:
            return match[0]
        end = "/index.md" if target.is_dir() else ""
        return f"]({up}{PLACE}/{target.relative_to(ROOT).as_posix()}{end}{match[2] or ''})"

    parts = CODE.split(LINK.sub(replace, markdown))  # code stands at odd places
    parts[::2] = [
        FORMULA.sub(lambda match: f"<span>{convert(match[1])}</span>", part) for part in parts[::2]
    ]
    return "".join(parts)
