"""results/bench/README.md and its picture, from the json files beside them.

    python benchmarks/bench_table.py [FOLDER]

What a person has found out about a miss stands in causes.json: name of the row → words.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

from neuralcodes.common.files import read_json, write_text

RESULTS = Path(__file__).parent.parent / "results" / "bench"
ORDER = (
    "load", "step", "trainer", "forward", "extract", "photos", "map", "map_peers", "search-10000",
    "search-100000", "search-1000000", "build", "cold", "growth",
)  # fmt: skip
GREY, GOOD, BAD = "0.75", "tab:green", "tab:red"


def rows(folder: Path) -> list[dict[str, Any]]:
    """All results, in the order of the issue's table."""
    files = {path.stem: read_json(path) for path in folder.glob("*.json")}
    found = {name: value for name, value in files.items() if "target" in value}
    return [found[name] for name in (*ORDER, *sorted(set(found) - set(ORDER))) if name in found]


def table(results: list[dict[str, Any]], causes: dict[str, str]) -> str:
    """The README."""
    lines = [
        "# Speeds, beside peers and the machine's limit", "",
        "Made by `make bench` (`python benchmarks/bench_table.py` writes this page from the json "
        "files). Contestants take turns in one run; a ratio is ours over the peer in speed, the "
        "median of the rounds with the least and the greatest. No absolute time is a claim.", "",
        f"{_machines(results)} Versions of ours and of the peers stand in each file. How each "
        "piece is bounded, and what was tried: [docs/performance.md](../../docs/performance.md).",
        "",
        "![Ratios](ratios.png)", "",
        "| work | nearest peers: ours is so many times as fast | of the limit | target | |",
        "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for one in results:
        share = one["share_of_limit"]
        lines.append(
            f"| [{one['name']}]({one['name']}.json) | {_nearest(one)} | "
            f"{'' if share is None else f'{100 * share:.0f} %'} | {one['target']} | "
            f"{'**met**' if one['met'] else 'missed'} |"
        )
    missed = [one for one in results if not one["met"]]
    if missed:
        lines += ["", "## Missed, and why", ""]
        lines += [f"- **{one['name']}**: {causes.get(one['name'], 'not yet known')}"
                  for one in missed]  # fmt: skip
    lines += ["", "## Commands", ""]
    lines += [f"- {one['name']}: `{one['command']}`" for one in results]
    for one in results:
        if one["name"].startswith("search-"):
            lines += ["", *_curve(one)]
    return "\n".join(lines) + "\n"


def _machines(results: list[dict[str, Any]]) -> str:
    """Which rows were measured where."""
    rows_of: dict[str, list[str]] = {}
    for one in results:
        m = one["machine"]
        about = (
            f"{m['cpu']}, {m['cores']} cores, {m['memory_bytes'] / 2**30:.0f} GiB, {m['system']}"
        )
        rows_of.setdefault(about, []).append(one["name"])
    if len(rows_of) == 1:
        return f"Machine: {next(iter(rows_of))}."
    return " ".join(f"{about}: {', '.join(names)}." for about, names in rows_of.items())


def _nearest(one: dict[str, Any]) -> str:
    """The three strongest peers, all where there are few."""
    peers = sorted(one["peers"].items(), key=lambda item: item[1]["ratio"])
    shown = [
        f"{name} {value['ratio']:.2f} ({value['low']:.2f}–{value['high']:.2f})"
        for name, value in peers[:3]
    ]
    rest = f" and {len(peers) - 3} more" if len(peers) > 3 else ""
    return "; ".join(shown) + rest


def _curve(one: dict[str, Any]) -> list[str]:
    """Queries a second of all contestants in each cell."""
    cells = one["cells"]
    names = sorted({c["name"] for c in cells}, key=lambda n: (not n.startswith("ours"), n.lower()))
    heads = [(q, r) for q in sorted({c["queries"] for c in cells})
             for r in sorted({c["recall_wanted"] for c in cells})]  # fmt: skip
    lines = [
        f"## {one['name']}: queries a second at the same recall@10", "",
        "| | MB | " + " | ".join(f"{'one' if q == 1 else f'{q} at once'}, {r}" for q, r in heads)
        + " |",
        "| --- | --- | " + " | ".join("---" for _ in heads) + " |",
    ]  # fmt: skip
    by_place = {(c["name"], c["queries"], c["recall_wanted"]): c for c in cells}
    for name in names:
        values = []
        for queries, recall in heads:
            cell = by_place.get((name, queries, recall))
            text = "–" if cell is None else f"{cell['queries_per_second']:,.0f}"
            values.append(f"**{text}**" if cell and cell["ours"] else text)
        memory = sum(one["memory_bytes"].get(name, {}).values()) / 1e6
        lines.append(f"| {name} | {memory:,.0f} | " + " | ".join(values) + " |")
    return lines


def picture(results: list[dict[str, Any]], path: Path) -> None:
    """Every ratio with its spread, one panel a row of the table."""
    shown = [one for one in results if one["peers"]]
    heights = [len(_few(one)) + 1.2 for one in shown]
    figure, axes = plt.subplots(
        len(shown), 1, figsize=(9, 0.24 * sum(heights) + 0.6), sharex=True,
        gridspec_kw={"height_ratios": heights}, squeeze=False,
    )  # fmt: skip
    for axis, one in zip(axes[:, 0], shown, strict=True):
        peers = _few(one)
        for place, (_, value) in enumerate(peers):
            colour = GOOD if round(value["ratio"], 2) >= 1 else BAD
            axis.plot([value["low"], value["high"]], [place, place], color=colour, lw=3, alpha=0.35)
            axis.plot(value["ratio"], place, "o", color=colour, ms=4)
            axis.text(1.01, place, f"{value['ratio']:.2f}", transform=axis.get_yaxis_transform(),
                      va="center", fontsize=7)  # fmt: skip
        axis.set_yticks(range(len(peers)), [name for name, _ in peers], fontsize=7)
        axis.set_ylim(len(peers) - 0.4, -0.6)
        axis.axvline(1, color="0.3", lw=0.8)
        axis.set_title(one["name"], loc="left", fontsize=9, fontweight="bold", pad=2)
        axis.grid(axis="x", color=GREY, lw=0.4)
        axis.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
        axis.tick_params(axis="y", length=0)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
    axes[-1, 0].set_xlabel("times as fast as the peer (log scale; bar: least to greatest round)")
    figure.tight_layout(h_pad=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _few(one: dict[str, Any], most: int = 12) -> list[tuple[str, dict[str, float]]]:
    """The strongest peers, strongest first."""
    return sorted(one["peers"].items(), key=lambda item: item[1]["ratio"])[:most]


def main(folder: Path) -> None:
    """Write both."""
    results = rows(folder)
    causes = folder / "causes.json"
    write_text(folder / "README.md", table(results, read_json(causes) if causes.is_file() else {}))
    picture(results, folder / "ratios.png")
    print(folder / "README.md")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS)
