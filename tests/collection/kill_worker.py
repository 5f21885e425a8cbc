"""Kills indexing, updating and compacting at random moments; see `test_kill.py`.

A process of its own: it imports everything once and forks a child for each piece of work, which
it kills with SIGKILL. After each kill another child verifies the collection, looks whether what
was there before is still there, and compares what the index finds with a plain search. Prints JSON.

    python kill_worker.py FOLDER CODE BACKEND SEED KILLS
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

torch.set_num_threads(1)  # before anything is computed: a forked child has no other threads

from painted import lay_pictures, picture_file  # noqa: E402

from neuralcodes.codes.encoder import Encoder  # noqa: E402, F401 - imported before the forks
from neuralcodes.collection import indexing, sync  # noqa: E402
from neuralcodes.collection.collection import Collection  # noqa: E402

sync.BATCH = 8
sync.COMMIT_IMAGES = 12
indexing.TAIL_LEAST = 10
NEAREST = 5


def in_child(work: Callable[[], object], kill_after: float | None = None) -> tuple[str, float]:
    """Run in a forked child: what it printed, or "killed"; and its seconds."""
    reading, writing = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with open(os.devnull, "w") as nothing, contextlib.redirect_stderr(nothing):
            try:
                text = json.dumps(work())
            except BaseException:
                text = "error: " + traceback.format_exc()
        os.write(writing, text.encode()[:60_000])
        os._exit(0)
    os.close(writing)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    with open(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return text if not os.WIFSIGNALED(status) else "killed", time.monotonic() - start


def main(folder: Path, code: str, backend: str, seed: int, kills: int) -> None:
    dice = random.Random(seed)
    pictures = lay_pictures(folder / "pictures", 60)
    path = folder / "collection"
    Collection.create(path, code, device="cpu", backend=backend).close()

    def update() -> object:
        with Collection.open(path, device="cpu") as collection:
            return collection.sync([pictures]).to_json()

    def compact() -> object:
        with Collection.open(path, device="cpu") as collection:
            return collection.compact()

    def names() -> object:
        with Collection.open(path, device="cpu") as collection:
            return [image.path for image in collection.images()]

    def check() -> object:
        with Collection.open(path, device="cpu") as collection:
            known = {image.path: image.id for image in collection.images()}
            return {
                "problems": collection.verify().problems,
                "images": len(collection),
                "stay": len(stay := [name for name in before if Path(name).exists()]),
                "lost": [name for name in stay if name not in known],
                "index": collection.info().index["backend"],
                **answers(collection, list(known.values())),
            }

    before: list[str] = []  # images that were there when what is killed began
    # how long each takes here and now, so that the kills fall into the work
    seconds = {"index": in_child(update)[1]}
    number = change(pictures, dice, 60)
    seconds["update"] = in_child(update)[1]
    seconds["compact"] = in_child(compact)[1]
    whole = len(list(pictures.rglob("*.jpg")))
    renew(path, code, backend)
    done = []
    hits = dict.fromkeys(seconds, 0)
    begun = False
    for turn in range(3 * kills):  # some pieces of work are done before their kill
        if sum(hits.values()) == kills:
            break
        first = hits["index"] < kills // 3 and turn < 2 * kills
        kind = "index" if first else dice.choice(["update", "compact"])
        if kind != "index":
            number = change(pictures, dice, number)
            if kind == "compact" or not begun:  # there must be something to work on
                in_child(update)
            begun = True
        work = compact if kind == "compact" else update
        before = json.loads(in_child(names)[0])
        moment = dice.uniform(0, seconds[kind])
        ended, _ = in_child(work, moment)
        hits[kind] += ended == "killed"
        if ended != "killed":  # it was faster than thought
            seconds[kind] = 0.5 * (seconds[kind] + moment)
        told = in_child(check)[0]
        done.append({"kind": kind, "after": moment, "ended": ended[:300], "check": told})
        if kind == "index" and json.loads(told)["images"] == whole:
            renew(path, code, backend)  # again from the beginning
    before = []
    last = [in_child(update)[0], in_child(compact)[0], in_child(check)[0]]
    print(json.dumps({"turns": done, "last": last, "difference": compare(folder, path, code)}))


def answers(collection: Collection, ids: list[int]) -> dict[str, object]:
    """What some searches by ids find, beside what a plain comparison of all codes finds."""
    if len(ids) <= NEAREST:
        return {"searches": 0}
    codes = collection.codes(ids).astype(np.float64)
    apart = np.linalg.norm(codes[:, None] - codes, axis=2)
    np.fill_diagonal(apart, np.inf)  # an image does not find itself
    queries = range(0, len(ids), 4)
    shares, wrong = [], 0
    for row in queries:
        found = collection.search(ids[row], k=NEAREST)
        true = apart[row, [ids.index(match.id) for match in found]]
        told = np.array([match.distance for match in found])
        wrong += (
            not np.allclose(told, true, atol=1e-5) or len({match.id for match in found}) != NEAREST
        )
        shares.append((true <= np.sort(apart[row])[NEAREST - 1] + 1e-5).sum() / NEAREST)
    return {"searches": len(queries), "recall": float(np.mean(shares)), "wrong": wrong}


def renew(path: Path, code: str, backend: str) -> None:
    shutil.rmtree(path)
    Collection.create(path, code, device="cpu", backend=backend).close()


def change(pictures: Path, dice: random.Random, number: int) -> int:
    """Some new, changed, moved and deleted pictures."""
    files = sorted(pictures.rglob("*.jpg"))
    for _ in range(dice.randrange(4, 10)):
        new = pictures / dice.choice("abc") / f"{number:04}.jpg"
        new.write_bytes(picture_file(number))
        number += 1
    dice.choice(files).write_bytes(picture_file(number))
    dice.choice(files).unlink()
    mover = dice.choice([file for file in files if file.exists()])
    mover.rename(pictures / dice.choice("abc") / f"moved{number}.jpg")
    return number + 1


def compare(folder: Path, path: Path, code: str) -> list[str]:
    """How the collection differs from one that was made without interruption."""
    wrong = []
    with (
        Collection.open(path, device="cpu") as ours,
        Collection.create(folder / "fresh", code, device="cpu") as fresh,
    ):
        fresh.sync([folder / "pictures"])
        sides = []
        for one in (ours, fresh):
            images = list(one.images())
            codes = one.codes([image.id for image in images])
            facts = [(i.folder, i.label, i.width, i.height, i.size, i.kind) for i in images]
            sides.append({i.path: (f, c) for i, f, c in zip(images, facts, codes, strict=True)})
        if sides[0].keys() != sides[1].keys():
            wrong.append(f"images differ: {sides[0].keys() ^ sides[1].keys()}")
        for name in sides[0].keys() & sides[1].keys():
            if sides[0][name][0] != sides[1][name][0]:
                wrong.append(f"{name}: facts differ")
            if not np.allclose(sides[0][name][1], sides[1][name][1], atol=1e-6):
                wrong.append(f"{name}: codes differ")
        if ours.info().removed_codes or ours.bad():
            wrong.append("left-overs")
    return wrong


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
