"""Hooks of the documentation's build: pages may link to files of the repository.

Where a page names a file outside docs/ (`../results/…`), the file is copied into the site, so that
the pages read the same on the site, on a code host and on disk. A folder becomes a list of its
files. Links of copied pages are followed too.
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
LINK = re.compile(r"\]\((?![a-z]+:|/)([^)#\s]+)(#[^)\s]*)?\)")


def place(target: Path) -> str | None:
    """Where the site has a file or folder of the repository; None for what is not there."""
    if not target.exists() or not target.is_relative_to(ROOT):
        return None
    if target.is_relative_to(ROOT / "docs"):
        return target.relative_to(ROOT / "docs").as_posix()
    name = f"{PLACE}/{target.relative_to(ROOT).as_posix()}"
    return f"{name}/index.md" if target.is_dir() else name


def meant(page: str, link: str) -> Path:
    """What a page's link means in the repository; a copied page's links are of its own folder."""
    inside = page.removeprefix(f"{PLACE}/")
    source = (ROOT if inside != page else ROOT / "docs") / inside
    return source.parent.joinpath(link).resolve()


def on_files(files: Files, config: Any) -> Files:
    """Take the files in that pages name, and those that these name."""
    pages = list(files.documentation_pages())
    for page in pages:  # grows on the way
        for link, _ in LINK.findall(page.content_string):
            target = meant(page.src_uri, link)
            name = place(target)
            if name is None or name in files.src_uris:
                continue
            if target.is_dir():
                names = sorted(path.name for path in target.iterdir())
                text = f"# {target.relative_to(ROOT)}\n\n" + "".join(f"- {n}\n" for n in names)
                made = File.generated(config, name, content=text)
            else:
                made = File.generated(config, name, abs_src_path=str(target))
                if made.is_documentation_page():
                    pages.append(made)
            files.append(made)
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Point links to repository files at their copies, and typeset formulas."""
    here = page.file.src_uri
    up = "../" * here.count("/")

    def replace(match: re.Match[str]) -> str:
        name = place(meant(here, match[1]))
        return match[0] if name is None else f"]({up}{name}{match[2] or ''})"

    parts = CODE.split(LINK.sub(replace, markdown))  # code stands at odd places
    parts[::2] = [
        FORMULA.sub(lambda match: f"<span>{convert(match[1])}</span>", part) for part in parts[::2]
    ]
    return "".join(parts)
