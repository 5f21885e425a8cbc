"""Contact sheets: HTML pages of pictures that need nothing beside them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

_PAGE = """
{%- macro tile(t) %}
<figure{% if t.mark %} class="{{ t.mark }}"{% endif %}>
{%- if t.picture %}<img src="data:image/jpeg;base64,{{ t.data }}" alt="{{ t.path }}" loading="lazy">
{%- else %}<div class="none">no picture</div>{% endif %}
<figcaption><b>{{ t.caption }}</b><br>{{ t.note }}<br><span title="{{ t.path }}">{{ t.name }}</span>
</figcaption></figure>
{%- endmacro -%}
{% if whole %}<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
</head><body>{% endif %}
<style>
.nc-sheet{font:14px/1.4 system-ui,sans-serif;color-scheme:light dark;max-width:1200px;margin:auto}
.nc-sheet h1{font-size:1.3em;overflow-wrap:anywhere}.nc-sheet h2{font-size:1em;margin:1em 0 .4em}
.nc-sheet .grid{display:flex;flex-wrap:wrap;gap:10px}
.nc-sheet figure{margin:0;padding:6px;width:172px;border:1px solid #8886;border-radius:6px}
.nc-sheet figure.keep{border-color:#2a7a3b;border-width:2px}
.nc-sheet img{display:block;max-width:160px;max-height:160px;margin:0 auto 4px}
.nc-sheet .none{height:80px;display:grid;place-items:center;opacity:.7}
.nc-sheet figcaption{font-size:12px;overflow-wrap:anywhere}
</style>
<div class="nc-sheet"><h1>{{ title }}</h1><p>{{ note }}</p>
{% for heading, tiles in groups if tiles %}<h2>{{ heading }}</h2>
<div class="grid">{% for t in tiles %}{{ tile(t) }}{% endfor %}</div>{% endfor %}</div>
{% if whole %}</body></html>{% endif %}
"""


@dataclass(frozen=True)
class Tile:
    """A picture with words.

    Attributes:
        caption: in bold.
        path: the file; its name is shown, the whole when pointed at.
        note: a second line.
        picture: JPEG bytes; None where there is none.
        mark: "keep" for a frame.
    """

    caption: str
    path: str
    note: str = ""
    picture: bytes | None = None
    mark: str = ""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def data(self) -> str:
        """The picture in base64."""
        return base64.b64encode(self.picture or b"").decode()


def render_sheet(
    title: str, note: str, groups: Sequence[tuple[str, Sequence[Tile]]], whole: bool = True
) -> str:
    """HTML of groups of tiles, each with a heading. Every text in it is escaped."""
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string(_PAGE)
    return template.render(title=title, note=note, groups=groups, whole=whole)
