"""`choose`: from a folder and some networks to a recommended code, its report and its record.

The folder of a choice: `codes/` of each network, `kept/` with every score, `choice.json` (written
last of the results), `figures/` and `report.html`. Run again it makes only what is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from neuralcodes.choosing.agreement import Agreement, agree, recorded
from neuralcodes.choosing.closer import Way, look_at_examples, look_at_indexes
from neuralcodes.choosing.decide import Decision, decide
from neuralcodes.choosing.grid import (
    BYTES,
    DIMS,
    TRANSFORMS,
    Base,
    Candidate,
    canonical_poolings,
    expand,
)
from neuralcodes.choosing.indexes import ALL, choose_backend, expand_backends
from neuralcodes.choosing.kept import Kept
from neuralcodes.choosing.layers import (
    NAMED,
    BaseCodes,
    NetworkCodes,
    are_there,
    base_codes,
    plan_network,
)
from neuralcodes.choosing.leftout import LeftOut, told
from neuralcodes.choosing.outcome import (
    Choice,
    Subject,
    make_points,
    stand_layers,
)
from neuralcodes.choosing.sweep import (
    Scored,
    estimate_seconds,
    facts_of,
    sweep,
)
from neuralcodes.choosing.task import Kind, Task, label_task, part_sizes, view_task
from neuralcodes.choosing.timing import search_milliseconds, stored_by
from neuralcodes.choosing.views import KINDS, view_content, view_images
from neuralcodes.codes.spec import CodeSpec
from neuralcodes.codes.transforms.fitted import transform_file
from neuralcodes.codes.transforms.registry import get_transform
from neuralcodes.common.errors import UserError
from neuralcodes.common.files import write_json
from neuralcodes.common.machine import describe_machine, source_commit, versions
from neuralcodes.experiments.choice_commands import building_commands
from neuralcodes.experiments.choice_images import Chosen, choose_images
from neuralcodes.images.imageset import ImageSet
from neuralcodes.networks.names import SHIPPED, carries_weights
from neuralcodes.networks.opened import open_network
from neuralcodes.networks.runtime import choose_runtime
from neuralcodes.reports.choice import write_choice_report

Labels = Literal["folder", "none", "both"]


@dataclass(frozen=True)
class Choosing:
    """What is swept, and over which images.

    Attributes:
        place: folder or zip file of images, Tiny ImageNet, or the word `digits`.
        networks: run folders or weights files.
        layers: names, `named` or `all`; see `neuralcodes.choosing.layers`.
        dims, sizes, poolings, transforms: see `neuralcodes.choosing.grid`.
        indexes: backends measured on the few best codes; see `choosing.indexes.expand_backends`.
        budget: bytes a code; None for the rule without one.
        labels: which images match: class folders, nobody's, or both ways to compare them; None
            for class folders where there are some.
        classes: `auto` (those that no network was trained on), `all`, a range such as 190:200,
            or names joined by commas.
        max_images: of larger sets so many are drawn.
        out: the folder of the choice.
        seed: of everything drawn.
        device, precision: of the networks.
        collection: name of the collection in the commands.
    """

    place: str
    networks: tuple[str, ...]
    out: Path
    layers: tuple[str, ...] = (NAMED,)
    dims: tuple[int, ...] = DIMS
    sizes: tuple[int, ...] = BYTES
    poolings: tuple[str, ...] = ("flatten",)
    transforms: tuple[str, ...] = TRANSFORMS
    indexes: tuple[str, ...] = (ALL,)
    budget: int | None = None
    labels: Labels | None = None
    classes: str = "auto"
    max_images: int = 5000
    seed: int = 0
    device: str = "auto"
    precision: str = "fp32"
    collection: str = "pictures.nc"


def choose(choosing: Choosing, tell: Callable[[str], None]) -> Choice:
    """Sweep, decide, and write `choice.json`, figures and report.

    Args:
        choosing: what.
        tell: is given each line for people as soon as it is known.

    Raises:
        UserError: whatever a user can mend.
    """
    return _Run(choosing, tell).all()


class _Run:
    def __init__(self, choosing: Choosing, tell: Callable[[str], None]) -> None:
        self.choosing = choosing
        self.tell = tell
        self.kept = Kept(choosing.out / "kept")
        self.notes: list[str] = []
        chains = expand(choosing.transforms, choosing.dims, choosing.sizes)
        self.backends = expand_backends(choosing.indexes)  # refused before any work
        poolings = canonical_poolings(choosing.poolings)
        runtime = choose_runtime(choosing.device, choosing.precision)  # type: ignore[arg-type]
        opened = [open_network(name) for name in dict.fromkeys(choosing.networks)]
        self.chosen: Chosen = choose_images(choosing, opened)
        for note in self.chosen.notes:
            self.note(note)
        self.plans: list[NetworkCodes] = []
        for network in opened:
            images = self.chosen.images[network.name]
            plan = plan_network(network, runtime, choosing.layers, poolings, images)
            self.plans.append(plan)
        self.candidates, beyond = self._candidates(chains)
        self.leave_out([*(one for plan in self.plans for one in plan.left_out), *beyond])

    def note(self, line: str) -> None:
        """Tell a line that the record keeps too."""
        self.notes.append(line)
        self.tell(line)

    def leave_out(self, left: Sequence[LeftOut]) -> None:
        """Tell what is not tried, many in one line; the record keeps a line for each."""
        self.notes += [one.line for one in left]
        for line in told(left):
            self.tell(line)

    def all(self) -> Choice:
        """See `choose`."""
        choosing = self.choosing
        kinds: list[Kind] = {
            "folder": ["labels"],
            "none": ["views"],
            "both": ["labels", "views"],
        }[self.chosen.labels]  # type: ignore[assignment]
        ways = {kind: self._way(kind) for kind in kinds}
        way = ways[kinds[0]]
        self.leave_out(
            [
                LeftOut(f"{code}: left out: {reason}", "cannot be fitted to these images")
                for code, reason in way.swept.dropped.items()
            ]
        )
        scored = way.swept.scored
        milliseconds = {one.code: self._milliseconds(one) for one in scored}
        decision = decide(scored, milliseconds, choosing.budget)
        agreement = None
        if len(ways) == 2:
            agreement = agree(
                scored,
                ways["views"].swept.scored,
                self.chosen.source,
                self.chosen.count,
                choosing.budget,
                choosing.seed,
            )
        choice = self._outcome(way, decision, milliseconds, agreement)
        write_json(choosing.out / "choice.json", choice.to_json())
        first = self.chosen.images[decision.chosen.candidate.base.network]
        write_choice_report(choosing.out, choice, first)
        return choice

    def _outcome(
        self,
        way: Way,
        decision: Decision,
        milliseconds: dict[str, float],
        agreement: Agreement | None,
    ) -> Choice:
        choosing, chosen = self.choosing, self.chosen
        indexes = look_at_indexes(way, decision, self.backends, self.kept)
        index = choose_backend(indexes, decision.chosen.code)
        spec = way.codes[decision.chosen.candidate.base].spec
        commands, note = building_commands(choosing, chosen, decision.chosen, spec, index)
        return Choice(
            kind=way.task.kind,
            subject=Subject(
                source=chosen.source,
                images=chosen.count,
                classes=chosen.classes,
                of_images=chosen.of_images,
                which=chosen.which,
                networks=choosing.networks,
                notes=tuple(self.notes),
                seed=choosing.seed,
            ),
            parts=part_sizes(way.task),
            turns=len(way.task.rotations),
            points=make_points(way.swept.scored, decision, milliseconds),
            decision=decision,
            layers=stand_layers(way.swept.scored),
            indexes=tuple(indexes),
            index=index,
            dropped=way.swept.dropped,
            commands=commands,
            commands_note=note,
            agreement=agreement,
            recorded=tuple(recorded()) if way.task.kind == "views" else (),
            record={
                "transforms": list(choosing.transforms),
                "dims": list(choosing.dims),
                "sizes": list(choosing.sizes),
                "layers": list(choosing.layers),
                "poolings": list(choosing.poolings),
                "budget": choosing.budget,
                "fingerprints": dict(way.content),
                "versions": versions(),
                "commit": source_commit(),
                "machine": describe_machine(),
            },
            examples=look_at_examples(way, decision, self.kept),
        )

    def _candidates(
        self, chains: Sequence[tuple[str, ...]]
    ) -> tuple[list[Candidate], list[LeftOut]]:
        """Every base with every chain, and those left out because they are longer than the base."""
        found, left = [], []
        for plan in self.plans:
            usable = [chain for chain in chains if _can_lie(next(iter(plan.bases.values())), chain)]
            if len(usable) < len(chains):
                self.note(
                    f"{plan.network.name}: transforms that are fitted have no place to lie beside "
                    "it; left out"
                )
            for base, spec in plan.bases.items():
                beyond = []
                for chain in usable:
                    if _first_size(chain) > spec.dims:
                        beyond.append("/".join(chain))
                    else:
                        found.append(Candidate(base, chain))
                if beyond:
                    line = f"{base.code} has {spec.dims} dimensions; left out: {', '.join(beyond)}"
                    left.append(LeftOut(line, "longer than what they shorten", len(beyond)))
        return found, left

    def _way(self, kind: Kind) -> Way:
        """Make the codes and scores for one way of judging."""
        choosing, chosen = self.choosing, self.chosen
        if kind == "labels":
            assert chosen.label_array is not None
            task = label_task(chosen.label_array, choosing.seed, chosen.source)
        else:
            task = view_task(chosen.count, len(KINDS), choosing.seed, chosen.source)
        self._tell_cost(task)
        views: dict[str, ImageSet] = {}
        content: dict[str, str] = {}
        codes: dict[Base, BaseCodes] = {}
        for plan in self.plans:
            name = plan.network.name
            images = chosen.images[name]
            folder = self._codes_folder(plan)
            content[name] = images.fingerprint()
            if kind == "views":
                views[name] = view_images(images, task.viewed(), folder, choosing.seed)
                content[name] = view_content(images, task.viewed(), choosing.seed)
            codes |= base_codes(plan, images, views.get(name), folder)
        swept = sweep(task, codes, self.candidates, self.kept, content, choosing.seed)
        return Way(task, content, codes, swept, choosing.seed)

    def _codes_folder(self, plan: NetworkCodes) -> Path:
        return self.choosing.out / "codes" / plan.network.weights[:12]

    def _tell_cost(self, task: Task) -> None:
        chosen, choosing = self.chosen, self.choosing
        passes = 0.0
        for plan in self.plans:
            there = are_there(plan, chosen.images[plan.network.name], self._codes_folder(plan))
            passes += plan.seconds * (len(task.groups) - task.images * there)
        specs = {base: spec for plan in self.plans for base, spec in plan.bases.items()}
        content = {
            name: images.fingerprint()
            if task.kind == "labels"
            else view_content(images, task.viewed(), choosing.seed)
            for name, images in chosen.images.items()
        }

        def has(candidate: Candidate, turn: int) -> bool:
            base = candidate.base
            facts = facts_of(
                task, turn, specs[base], candidate.chain, content[base.network], choosing.seed
            )
            return self.kept.has(facts)

        turns = len(task.rotations)
        new = sum(not has(one, turn) for one in self.candidates for turn in range(turns))
        work = estimate_seconds(task, self.candidates, lambda base: specs[base].dims, has)
        what = "labels" if task.kind == "labels" else "views"
        self.tell(
            f"{len(self.candidates)} codes judged by {what}, {turns} time(s) each, {new} of these "
            f"{turns * len(self.candidates)} new; passes of the networks: at most "
            f"{_duration(passes)}; judging: about {_duration(work)}"
        )

    def _milliseconds(self, one: Scored) -> float:
        images, quantiser = self.chosen.count, stored_by(one.candidate.chain)
        facts: dict[str, Any] = {"what": "milliseconds", "dims": one.dims, "images": images}
        if quantiser:
            facts["quantiser"] = quantiser
        made = partial(search_milliseconds, one.dims, images, quantiser)
        return float(self.kept.get(facts, lambda: round(made(), 4)))


def with_defaults(choosing: Choosing) -> Choosing:
    """Networks where none were named: the one that comes along, and the runs in `runs/`.

    Raises:
        UserError: there are none.
    """
    if choosing.networks:
        return choosing
    found = [str(path.parent) for path in sorted(Path("runs").glob("*/weights.safetensors"))]
    if carries_weights():
        found.insert(0, SHIPPED)
    if not found:
        raise UserError(
            "--networks: name a run folder or weights file (this copy of neuralcodes carries no "
            "weights, and runs/ holds none); `neuralcodes demo` makes one in a minute"
        )
    return replace(choosing, networks=tuple(found))


def _can_lie(base: CodeSpec, chain: Sequence[str]) -> bool:
    """Whether what is fitted of a chain could be kept beside the network."""
    if not any(get_transform(name)[0].is_fitted for name in chain):
        return True
    try:
        transform_file(base, chain)
    except UserError:
        return False
    return True


def _first_size(chain: Sequence[str]) -> int:
    """The dimensions to which a chain's first transform reduces; 0 if it does not."""
    if not chain:
        return 0
    kind, number = get_transform(chain[0])
    return 0 if kind.is_quantiser or number is None else number


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
