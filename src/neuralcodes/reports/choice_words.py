"""A choice in plain words: what was looked at, how good, how sure, which layer."""

from __future__ import annotations

from neuralcodes.choosing.agreement import Agreement
from neuralcodes.choosing.decide import RIVALS, Judged
from neuralcodes.choosing.outcome import Choice
from neuralcodes.evaluation.paired import Difference
from neuralcodes.reports.answers import Answer
from neuralcodes.reports.wording import fraction, listed, plural, signed, span

TIES = 3  # named


def subject_line(choice: Choice) -> str:
    """What was looked at."""
    subject = choice.subject
    of = f" of {plural(subject.classes, 'class')} ({subject.which})" if subject.classes else ""
    drawn = f", drawn from {subject.of_images:,}" if subject.images < subject.of_images else ""
    return (
        f"{plural(len(choice.points), 'code')} on {plural(subject.images, 'image')}{of} from "
        f"{subject.source}{drawn}"
    )


def quality_lines(choice: Choice) -> list[str]:
    """The figure that the choice was made on, the one it was judged by, and what stands behind."""
    judged = choice.decision.judged
    on, off = judged.chosen_on, judged.judged_on
    things = "classes" if choice.kind == "labels" else "images"
    lines = [
        f"mAP {fraction(off.mean)} ({span(off.interval())}) on {things} that had no part in the "
        f"choice; {fraction(on.mean)} ({span(on.interval())}) on those it was made on. "
        + _optimism(judged),
        _parts(choice),
    ]
    if choice.turns > 1:
        mine = choice.decision.chosen.code
        others = sorted({code for code in judged.codes if code != mine})
        lines.append(
            f"The three parts took turns, each choosing the best code of at most "
            f"{choice.chosen.bytes:,} bytes: {judged.codes.count(mine)} of {choice.turns} chose "
            f"this one{f' (the others {listed(others)})' if others else ''}; these figures are "
            "those of each turn's own choice."
        )
    if choice.kind == "views":
        lines.append(ESTIMATE)
        lines += [agreement_line(one) for one in choice.recorded] or [UNKNOWN_AGREEMENT]
    if choice.agreement is not None:
        lines.append(agreement_line(choice.agreement))
    return lines


ESTIMATE = (
    "This is an estimate: nobody said which images are similar, so each image's own augmented "
    "views (crop, flip, colour, JPEG, blur, small rotation) stand in for them. The mAP is that of "
    "finding these views, that is the same picture again, not that of finding others like it. Its "
    "height means nothing, and the order of the codes as much as was measured:"
)
UNKNOWN_AGREEMENT = "How well such estimates order codes has not been measured."


def agreement_line(one: Agreement) -> str:
    """How well an estimate ordered codes where labels were known."""
    layers = "" if one.layers is None else f" Of the layers alone it is {fraction(one.layers, 2)}"
    sizes = listed([f"{kind} {fraction(tau, 2)}" for kind, tau in one.sizes.items()])
    if sizes:
        layers = (
            f"{layers or ' It is'}{';' if layers else ''} within a layer, by transform: {sizes}"
        )
    return (
        f"Where labels were known ({one.source}, {plural(one.images, 'image')}, "
        f"{listed(list(one.networks))}): the estimate's order of {plural(one.codes, 'code')} and "
        f"that by labels have Kendall's τ {fraction(one.tau, 2)} ({span((one.low, one.high), 2)}; "
        f"1: the same order, 0: none, −1: the opposite).{layers}{'.' if layers else ''} The "
        f"estimate would recommend {one.by_views}, labels {one.by_labels}: a loss of "
        f"{fraction(one.loss)} mAP."
    )


def certainty(choice: Choice) -> list[str]:
    """How sure the recommendation is."""
    decision = choice.decision
    lines = []
    if decision.against_best is None:
        lines.append("It is the best code of all tried.")
    else:
        lines.append(
            f"Against the best, {decision.best.code} ({decision.best.bytes:,} bytes): "
            + _sentence(decision.against_best)
        )
    if decision.smaller is None:
        lines.append("No smaller code was tried that is not beaten by another.")
    else:
        assert decision.against_smaller is not None
        lines.append(
            f"Against the next smaller, {decision.smaller.code} "
            f"({decision.smaller.bytes:,} bytes): {_sentence(decision.against_smaller)}"
        )
    if decision.rivals:
        names = [one.code for one in decision.rivals[:TIES]]
        more = len(decision.rivals) - len(names)
        least = "at least " if len(decision.rivals) == RIVALS else ""
        lines.append(
            f"A tie: {least}{plural(len(decision.rivals), 'other code')} of no more bytes "
            f"{'is' if len(decision.rivals) == 1 else 'are'} not shown to be worse "
            f"({', '.join(names)}{f' and {more} more' if more else ''})."
        )
    else:
        lines.append("No tie: every other code of no more bytes is shown to be worse.")
    weak = [step for step in decision.steps if not (step.real and step.difference > 0)]
    if not decision.steps:
        lines.append("The front is one code.")
    elif weak:
        lines.append(
            f"The front is not decided: {len(weak)} of its {plural(len(decision.steps), 'step')} "
            f"{'is' if len(weak) == 1 else 'are'} not shown to be a gain."
        )
    else:
        lines.append("The front is decided: each of its steps is a real gain.")
    return lines


def layer_answer(choice: Choice) -> Answer:
    """Which layer to use, from the best code of each."""
    layers = choice.layers
    best = layers[0]
    reasons = [
        f"{one.layer}: its best code, {one.code}, has mAP {fraction(one.map)}"
        + (
            ""
            if one.behind is None
            else f"; on what had no part in choosing it is {_behind(one.behind)}"
        )
        + "."
        for one in layers
    ]
    if len(layers) == 1:
        return Answer("Which layer should I use?", f"Only {best.layer} was tried.", tuple(reasons))
    unclear = [
        one.layer
        for one in layers[1:]
        if one.behind is not None and not (one.behind.real and one.behind.difference > 0)
    ]
    chosen = choice.decision.chosen.candidate.base
    mine = f"{chosen.network}@{chosen.layer}"
    verdict = f"{best.layer}."
    if unclear:
        verdict = f"{best.layer}, though {listed(unclear)} may be as good."
    if choice.kind == "views":
        verdict = f"For finding the same picture again {verdict} For others, labels are needed."
    if mine != best.layer:
        verdict += f" For the size recommended here, {mine}."
    return Answer("Which layer should I use?", verdict, tuple(reasons))


def _optimism(judged: Judged) -> str:
    text = (
        f"All codes together have {fraction(judged.level_off)} and {fraction(judged.level_on)} "
        "there: against them the choice looks "
    )
    if judged.optimism > 0:
        return f"{text}{fraction(judged.optimism)} better than it is where it was made."
    return f"{text}no better where it was made ({signed(judged.optimism)})."


def _parts(choice: Choice) -> str:
    things = "classes" if choice.kind == "labels" else "images"
    parts = choice.parts
    if choice.kind == "labels":
        sizes = [f"{groups} ({images:,} images)" for groups, images in parts.values()]
    else:
        sizes = [f"{images:,}" for _, images in parts.values()]
    return (
        f"{things.capitalize()} are dealt by seed {choice.subject.seed}: transforms learn from "
        f"{sizes[0]}, {sizes[1]} choose, {sizes[2]} judge."
    )


def _sentence(d: Difference) -> str:
    mean = f"{d.difference:+.4f}".replace("-", "−")
    size = f"{mean} mAP ({span((d.low, d.high), 4)}, p {_p(d.p)})"
    if d.real:
        return f"{size}, a real difference."
    return f"{size}, not shown to differ."


def _behind(d: Difference) -> str:
    if not d.real:
        return f"not shown to differ from the first (p {_p(d.p)})"
    word = "behind" if d.difference > 0 else "ahead of"
    return f"{word} the first by {fraction(abs(d.difference))} (p {_p(d.p)})"


def _p(value: float) -> str:
    return f"= {value:.3f}" if value >= 0.001 else "< 0.001"
