"""Pages and pictures of the shipped network, from recorded figures alone.

    python benchmarks/shipped_page.py

writes results/shipped/README.md, bytes.png, compute.png and compute.json there, the model card, and
what stands between `<!-- shipped: NAME -->` and `<!-- end -->` in README.md and docs/. Nothing is
measured; run it after `shipped.py`, `shipped_speed.py` or `transfer.py`.
"""

from __future__ import annotations

import math
import re
import textwrap
from pathlib import Path
from typing import Any

import torch
from shipped_card import model_card
from shipped_compute import write_compute
from shipped_figure import write_figure
from shipped_looks import read_stages

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json, write_text
from neuralcodes.common.intervals import wilson_interval
from neuralcodes.networks.names import shipped_file
from neuralcodes.networks.registry import get_network

RESULTS = Path("results")
PAGES = ("README.md", "docs/networks.md", "docs/training.md")  # that hold blocks
BLOCK = re.compile(r"(<!-- shipped: (\w+) -->\n\n)(.*?)(\n\n<!-- end -->)", re.DOTALL)
RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
DAY = 86_400.0
FEW = 6  # looks; a line through fewer is a hint
Facts = dict[str, Any]


def number(value: float) -> str:
    """A large number as people read it."""
    if value < 1e6:
        return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
    power = int(math.log10(value))
    return f"{value / 10**power:.0f} × 10{str(power).translate(RAISED)}"


def signed(value: float) -> str:
    """With + or −."""
    return f"{value:+.3f}".replace("-", "−")


def megabytes(count: int) -> str:
    """A size as people read it."""
    return f"{count / 1e6:.1f} MB"


def wrapped(words: list[str]) -> str:
    """Sentences as lines of the pages' width."""
    return textwrap.fill(" ".join(words), 100, break_on_hyphens=False, break_long_words=False)


def span(facts: Facts, name: str = "map", digits: int = 3) -> str:
    """A figure with its interval."""
    value, low, high = (facts[f"{name}{end}"] for end in ("", "_low", "_high"))
    if low is None:
        return f"{value:.{digits}f} (no interval recorded)"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


class Recorded:
    """All that is recorded of the shipped network and of the founding one beside it."""

    def __init__(self, results: Path) -> None:
        self.shipped: Facts = read_json(results / "shipped.json")
        self.bytes: list[Facts] = read_json(results / "shipped" / "bytes.json")
        self.compressed: Facts = read_json(results / "compression.json")
        self.transfer: Facts = read_json(results / "transfer.json")
        speed = results / "shipped" / "speed.json"
        self.speed: Facts | None = read_json(speed) if speed.is_file() else None
        self.metrics: Facts = read_json(results / "reference" / "metrics.json")
        self.config: Facts = read_json(results / "reference" / "config.json")
        for name, value in ("transfer.json", self.transfer), ("speed.json", self.speed):
            if value is not None and value["weights"] != self.shipped["weights"]:
                print(f"{name} is of other weights than shipped.json: run its script again")

    def reference(self) -> Facts:
        """The founding network's best layer, its best short code and its best re-ranking."""
        best = max(self.metrics["map"], key=lambda layer: self.metrics["map"][layer])
        rows = self.compressed["rows"]
        short = max((r for r in rows if r["bytes"] <= 32), key=lambda r: float(r["map"]))
        step = max(self.compressed["rerank"]["steps"], key=lambda s: float(s["map"]))
        accuracy = self.metrics["splits"]["test"]["accuracy"]
        low, high = wilson_interval(accuracy, self.config["split"]["test"])
        with torch.device("meta"):
            module = get_network("reference").build(self.config["train_classes"])
        return {
            "layer": best, "dims": self.metrics["codes"][best]["dims"], "short": short,
            "step": step, "parameters": sum(p.numel() for p in module.parameters()),
            **{f"map{end}": self.metrics[f"map{end}"][best] for end in ("", "_low", "_high")},
            "accuracy": accuracy, "accuracy_low": low, "accuracy_high": high,
        }  # fmt: skip

    def found(self, images: str, code: str) -> Facts:
        """A row of `transfer.json`."""
        for row in self.transfer["rows"][images]:
            if row["code"].startswith(code):
                return dict(row)
        raise UserError(
            f"transfer.json: no {code} among its {images}; run `python benchmarks/transfer.py`"
        )


def comparison(of: Recorded, digits: int = 3) -> list[tuple[str, str, str]]:
    """Rows of the table beside the founding network: what, the founding one's, ours."""
    ours, other = of.shipped, of.reference()
    own = "shipped@code at {}×{}".format(*get_network("compact").input_size)
    photographs = f"mAP on photographs ({of.transfer['photographs']}), not trained on"
    rows = [
        ("values a code", f"{other['dims']:,} ({other['layer']})", f"{ours['dims']:,}"),
        ("bytes a code", f"{4 * other['dims']:,}", f"{ours['bytes_per_code']:,}"),
        ("parameters", f"{other['parameters']:,}", f"{ours['parameters']:,}"),
        ("weights on disk", megabytes(4 * other["parameters"]), megabytes(ours["weights_bytes"])),
        ("test accuracy on the 190 classes", span(other, "accuracy", digits),
         span(ours, "test_accuracy", digits)),
        ("mAP on the ten unseen classes", span(other, digits=digits), span(ours, digits=digits)),
        (f"the same at 32 bytes ({other['short']['method']}; {ours['code_32_bytes']})",
         span(other["short"], digits=digits), span(ours, "map_32_bytes", digits)),
        (f"re-ranked ({other['step']['chosen']}; {ours['reranked_by']})",
         span(other["step"], digits=digits), span(ours, "map_reranked", digits)),
        (photographs, span(of.found("photographs", f"reference@{other['layer']}"), digits=digits),
         span(of.found("photographs", own), digits=digits)),
        ("mAP on scikit-learn's digits, not trained on",
         span(of.found("digits", f"reference@{other['layer']}"), digits=digits),
         span(of.found("digits", own), digits=digits)),
    ]  # fmt: skip
    if of.speed is not None:
        rates = of.speed["images_per_second"]
        threads = of.speed["threads"]
        busy = of.speed["load_average"][0] > threads + 0.7  # our own are part of it
        beside = ", beside other work" if busy else ""
        for precision in ("fp32", "bf16"):
            cells = (rates[f"{name} {precision}"] for name in ("reference@L7", "shipped@code"))
            both = [f"{r['mean']:,.0f} ({r['low']:,.0f} to {r['high']:,.0f})" for r in cells]
            rows.append(
                (f"images/s, {precision}, CPU threads: {threads}{beside}", both[0], both[1])
            )
        for precision, r in of.speed["shipped_over_reference"].items():
            ratio = f"{r['median']:.2f} ({r['low']:.2f} to {r['high']:.2f})"
            rows.append((f"speed in turns, {precision}: median round (all)", "1", ratio))
    return rows


def table(rows: list[tuple[str, str, str]]) -> str:
    """In Markdown."""
    lines = [("", "founding network", "`shipped`"), ("---", "---", "---"), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines).replace("|  |", "| |")


def looks_table(compute: Facts) -> str:
    """Every look at the ten classes with a network of ours, in Markdown."""
    lines = ["| date | what | epochs | PFLOP | mAP |", "| --- | --- | --- | --- | --- |"]
    for look in compute["looks"]:
        epochs = " + ".join(str(stage["epochs"]) for stage in look["stages"])
        shipped = look["what"] + ("" if look["ships"] else " (not shipped)")
        lines.append(
            f"| {look['date']} | {shipped} | {epochs} | {look['pflop']:.2f} | "
            f"{span(look, digits=4)} |"
        )
    return "\n".join(lines)


def compute_words(compute: Facts) -> str:
    """What the line through the looks says, and how little that is."""
    line, rate = compute["line"], compute["flop_per_second"]
    if line is None:
        return f"{len(compute['looks'])} looks: too few for a line."
    words = [
        f"By the line through {line['looks']} looks, ten times the compute goes with "
        f"{signed(line['slope'])} mAP (95 %: {signed(line['slope_low'])} to "
        f"{signed(line['slope_high'])})."
    ]
    for reached in line["reaches"]:
        when = reached["pflop"]
        if when is None:
            words.append(f"It does not come to {reached['map']:.2f}.")
            continue
        days = when * 1e15 / rate / DAY
        ends = [reached["pflop_low"], reached["pflop_high"]]
        least = "–" if ends[0] is None else number(ends[0])
        most = "without end" if ends[1] is None else number(ends[1])
        words.append(
            f"It comes to {reached['map']:.2f} at {number(when)} PFLOP (its 95 % band: {least} to "
            f"{most}), {number(days)} days at the {rate / 1e9:.0f} GFLOP/s of these runs."
        )
    if line["looks"] < FEW:
        words.append(
            f"{line['looks']} points are few, and they differ in more than compute (the mean of "
            "runs, the contrast, at last the code and a larger input), so this is a hint and no "
            "forecast."
        )
    return wrapped(words)


def retrained_words(transfer: Facts) -> str:
    """Before and after retraining on half of the photographs' classes."""
    if "retrained" not in transfer:
        return "Retraining: not measured with these weights."
    facts = transfer["retrained"]
    code = facts["layers"]["code"]
    classes, change = facts["classes"], code["difference"]
    verdict = "better" if change["map"] > 0 else "worse"
    verdict = verdict if change["real"] else "no clear change"
    interval = f"{signed(change['map_low'])} to {signed(change['map_high'])}"
    return wrapped([
        f"The shipped network, retrained on {classes['trained']} of the "
        f"{sum(classes.values())} classes in {transfer['photographs']}, went on the other "
        f"{classes['judged']} from mAP {span(code['before'])} to {span(code['after'])} by its "
        f"code: {signed(change['map'])} ({interval}), {verdict} "
        f"(`{facts['command']}`, {facts['precision']})."
    ])  # fmt: skip


PAGE = """# The shipped network, measured

Written by `python benchmarks/shipped_page.py` from the files beside it; 95 % intervals, over
queries, test images (Wilson) or rounds of timing. The founding network's figures are those of
[results/reference](../reference) and [results/compression.json](../compression.json).

## Beside the founding network

{comparison}

![mAP against bytes an image, of both networks](bytes.png)

## What more training would buy

{looks}

Every look at the ten unseen classes with weights of ours. PFLOP are those of the training's
convolutions and products, forward and backward, counted by running the network.

![mAP against PFLOP of training with a line, and validation accuracy against PFLOP](compute.png)

{words}

## Other pictures

{retrained}

All rows are in [results/transfer.json](../transfer.json); how the weights came about is in
[results/EXPERIMENTS.md](../EXPERIMENTS.md).
"""


def short_table(of: Recorded) -> str:
    """README's table and what follows from the stages."""
    rows = [
        ("re-ranked" if row[0].startswith("re-ranked") else row[0], *row[1:])
        for row in comparison(of)
        if row[0] != "values a code"
    ]
    epochs = sum(len(stage.accuracy) for stage in read_stages(RESULTS / "shipped"))
    return f"{table(rows)}\n\nIt is young: {epochs} epochs of training on a CPU."


def fill(text: str, blocks: dict[str, str], page: str) -> str:
    """The page with its blocks anew.

    Raises:
        UserError: the page asks for a block that there is not.
    """

    def put(match: re.Match[str]) -> str:
        if match[2] not in blocks:
            raise UserError(f"{page}: no block {match[2]!r}; there are {', '.join(blocks)}")
        return f"{match[1]}{blocks[match[2]]}{match[4]}"

    return BLOCK.sub(put, text)


def blocks_of(of: Recorded, compute: Facts) -> dict[str, str]:
    """What pages may hold, by name."""
    return {
        "comparison": short_table(of),
        "compute": compute_words(compute),
        "retrained": retrained_words(of.transfer),
    }


def write_pages() -> None:
    """All of it."""
    of = Recorded(RESULTS)
    record = RESULTS / "shipped"
    write_figure(record / "bytes.png", of.bytes, of.compressed["rows"])
    compute = write_compute(record)
    write_text(
        record / "README.md",
        PAGE.format(
            comparison=table(comparison(of, 4)),
            looks=looks_table(compute),
            words=compute_words(compute),
            retrained=retrained_words(of.transfer),
        ),
    )
    card = Path(str(shipped_file())).with_name("MODEL_CARD.md")
    write_text(card, model_card(of.shipped, record))
    for page in map(Path, PAGES):
        text = page.read_text(encoding="utf-8")
        write_text(page, fill(text, blocks_of(of, compute), str(page)))


if __name__ == "__main__":
    write_pages()
