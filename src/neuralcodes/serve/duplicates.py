"""`DuplicateFinder`: duplicates found in the background, with what was decided about each group."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from neuralcodes.collection.collection import Collection
from neuralcodes.collection.duplicates import DuplicateGroup, Duplicates
from neuralcodes.collection.lookup import image_state
from neuralcodes.collection.results import ImageRecord
from neuralcodes.common.errors import UserError
from neuralcodes.serve import models
from neuralcodes.serve.adding import Adder
from neuralcodes.serve.decisions import Decisions, RememberedDecision, group_key
from neuralcodes.serve.errors import ConflictError, NotFoundError, RefusedError
from neuralcodes.serve.finding import image_model
from neuralcodes.serve.jobs import ENDED, Job, Jobs

LARGEST = 40  # images in a group of which all pairs can be called different


@dataclass(frozen=True)
class Place:
    """A group's number from 1, how many there are, and the keys of its neighbours.

    `undecided`: the next without a decision, from the first again after the last.
    """

    number: int
    total: int
    previous: str | None
    next: str | None
    undecided: str | None


class DuplicateFinder:
    """Finds duplicates as a job, remembers them until the next, and keeps decisions.

    Args:
        collection: to look at.
        jobs: for looking, beside the writer's.
        adder: through which what is written is written.
        root: what addresses of its pictures begin with.
    """

    def __init__(self, collection: Collection, jobs: Jobs, adder: Adder, root: str) -> None:
        self._root = root
        self._collection = collection
        self._jobs = jobs
        self._adder = adder
        self._decisions = Decisions(collection.path)
        self._lock = threading.Lock()
        self._found: Duplicates | None = None
        self._groups: dict[str, DuplicateGroup] = {}
        self._state: tuple[float, ...] = ()
        self._job: Job | None = None

    def find(self, recalibrate: bool = False) -> Job:
        """Look for duplicates in the background; the job that does it."""
        job = self._jobs.submit("duplicates", lambda: self._find(recalibrate), single=True)
        self._job = job
        return job

    def _find(self, recalibrate: bool) -> dict[str, int]:
        known = self._collection.info().calibration
        if known is None or recalibrate:
            known = self._adder.patiently(self._collection.calibrate)
        state = image_state(self._collection.store)
        found = self._collection.duplicates(float(known["threshold"]))
        groups = {_key(group): group for group in found.groups}
        with self._lock:
            self._found = Duplicates(found.groups, found.threshold, known)
            self._groups, self._state = groups, state
        exact = sum(group.kind == "exact" for group in found.groups)
        return {"exact": exact, "near": len(found) - exact}

    def page(self, page: int, k: int, undecided: bool) -> models.DuplicateGroups:
        """Some groups; images that have left since are not among them."""
        with self._lock:
            found, groups, state = self._found, self._groups, self._state
        job = self._job
        running = job is not None and job.state not in ENDED
        if found is None:
            return models.DuplicateGroups(
                state="running" if running else "absent", job=job.number if job else None
            )
        stale = state != image_state(self._collection.store)
        wanted = [
            key for key in groups if not undecided or self._decisions.get(key) is None
        ]  # fmt: skip
        first = (page - 1) * k
        shown = [self._model(key, groups[key]) for key in wanted[first : first + k]]
        return models.DuplicateGroups(
            state="running" if running else "stale" if stale else "ready",
            job=job.number if job else None,
            threshold=found.threshold,
            calibration=found.calibration,
            total=len(groups),
            undecided=sum(self._decisions.get(key) is None for key in groups),
            page=page,
            k=k,
            groups=[group for group in shown if len(group.images) > 1],
        )

    def group(self, key: str) -> models.Group:
        """One group.

        Raises:
            NotFoundError: there is none of that key now.
        """
        return self._model(key, self._group(key))

    def decide(self, decision: models.GroupDecision) -> models.Group:
        """Decide about a group, or take it back; remembered when this returns.

        Raises:
            NotFoundError: there is no such group now.
            RefusedError: `keep` names none of its images.
            ConflictError: too many images to call all pairs different.
        """
        group = self._group(decision.key)
        images = [image.id for image in group.images]
        keep = sorted(set(decision.keep))
        if decision.choice == "keep" and not (keep and set(keep) <= set(images)):
            raise RefusedError("keep: name at least one image of the group, and no others")
        if decision.choice != "keep" and keep:
            raise RefusedError('keep goes with the choice "keep"')
        before = self._decisions.get(decision.key)
        if decision.choice == "different":
            if len(images) > LARGEST:
                raise ConflictError(f"more than {LARGEST} images; remove some first")
            self._adder.write("different", lambda: self._mark(images, True))
        elif before is not None and before.choice == "different":
            self._adder.write("different", lambda: self._mark(images, False))
        self._decisions.set(decision.key, decision.choice, images, keep)
        return self._model(decision.key, group)

    def take_back(self, key: str) -> None:
        """Forget a decision, also of a group that is not found any more because of it."""
        decision = self._decisions.get(key)
        if decision is None:
            return
        if decision.choice == "different":
            there = [n for n in decision.images if self._image(n) is not None]
            self._adder.write("different", lambda: self._mark(there, False))
        self._decisions.set(key, None, [], [])

    def decision(self, key: str) -> RememberedDecision | None:
        """What was decided about a group."""
        return self._decisions.get(key)

    def decided(
        self, start: int = 0, count: int = 50
    ) -> tuple[list[tuple[str, RememberedDecision, list[models.Image]]], int]:
        """Decisions, the newest first, and how many there are.

        Each with its group's key and those of its images that are still there.
        """
        found = sorted(self._decisions.all().items(), key=lambda item: -item[1].at)
        shown = [
            (
                key,
                one,
                [image_model(image, self._root) for image in map(self._image, one.images) if image],
            )
            for key, one in found[start : start + count]
        ]
        return shown, len(found)

    def place(self, key: str) -> Place:
        """Where a group stands among the others.

        Raises:
            NotFoundError: there is none of that key now.
        """
        self._group(key)
        with self._lock:
            keys = list(self._groups)
        at = keys.index(key)
        open_ = [other for other in (*keys[at + 1 :], *keys[:at]) if not self._decisions.get(other)]
        return Place(
            at + 1,
            len(keys),
            keys[at - 1] if at else None,
            keys[at + 1] if at + 1 < len(keys) else None,
            open_[0] if open_ else None,
        )

    def export(self) -> Iterator[str]:
        """JSON lines: each file that may go, and why it may."""
        for decision in self._decisions.all().values():
            if decision.choice != "keep":
                continue
            kept = [one for one in map(self._image, decision.keep) if one is not None]
            for number in decision.images:
                image = self._image(number)
                if image is None or number in decision.keep or not kept:
                    continue
                line = {"id": image.id, "path": image.path, "keep": [one.path for one in kept]}
                yield json.dumps(line) + "\n"

    def _mark(self, images: list[int], different: bool) -> None:
        for one, other in combinations(images, 2):
            if different:
                self._collection.not_duplicates(one, other)
            else:
                self._collection.maybe_duplicates(one, other)

    def _group(self, key: str) -> DuplicateGroup:
        with self._lock:
            if key not in self._groups:
                raise NotFoundError("no such group now; look for duplicates again")
            return self._groups[key]

    def _image(self, number: int) -> ImageRecord | None:
        try:
            return self._collection.image(number)
        except UserError:
            return None

    def _model(self, key: str, group: DuplicateGroup) -> models.Group:
        decision = self._decisions.get(key)
        there = [one for one in (self._image(image.id) for image in group.images) if one]
        return models.Group(
            key=key,
            kind="exact" if group.kind == "exact" else "near",
            distance=round(group.distance, 6),
            reason=group.reason,
            images=[image_model(image, self._root) for image in there],
            choice=decision.choice if decision else None,  # type: ignore[arg-type]
            keep=list(decision.keep) if decision else [],
        )


def _key(group: DuplicateGroup) -> str:
    return group_key([image.code for image in group.images], [image.id for image in group.images])
