"""Follow README.md word for word, as a new user would: a fresh clone, a fresh home.

    python tools/follow_readme.py [--keep FOLDER]

Every command in README's `sh` blocks is run, in order, in one shell that begins in the clone; a
`python` block is run by `python`. Each is timed. A block without a language, right behind commands,
is what they print, and is compared with it. The first command that fails, or prints something else,
ends it with status 1.

How output is compared: the lines shown must follow each other in what was printed; `…` alone on a
line stands for any lines. Words must be equal and whole numbers too. Numbers with decimals may
differ by 0.02 (the last bits of sums depend on the processor), and times, speeds and sizes by
anything: numbers before one of `s ms images/s MB`.

The exceptions are in `RULES`, each with its reason, and are printed where they are used.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 1200.0  # seconds a command may take
TOLERANCE = 0.02
FREE = {"s", "ms", "images/s", "MB"}


@dataclass(frozen=True)
class Rule:
    """What is done otherwise than README says, with the commands that match.

    Attributes:
        command: a regular expression; the whole command must match.
        reason: why; printed.
        more: words put behind the command.
        needs: an environment variable without which the command is not run.
        answers: the command is a server: it runs until this path of it has answered.
    """

    command: str
    reason: str
    more: str = ""
    needs: str = ""
    answers: str = ""


RULES = (
    Rule(
        r"neuralcodes reproduce",
        "200 classes and 100 epochs take an evening; here 4 classes, one epoch, from the data "
        "that the variable gives and not from its place on the net",
        more="--classes 4 --epochs 1",
        needs="NEURALCODES_TINY_IMAGENET",
    ),
    Rule(
        r"neuralcodes serve .*",
        "it runs until it is ended; here until its page and a search have answered",
        more="--port 8399",
        answers="http://127.0.0.1:8399/",
    ),
)


@dataclass(frozen=True)
class Step:
    """Commands of one block, and what README says that they print; "" if it says nothing."""

    commands: list[str]
    shown: str


def steps(readme: str) -> Iterator[Step]:
    """README's commands in their order."""
    found = list(re.finditer(r"^```(\w*)\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE))
    for block, behind in zip(found, [*found[1:], None], strict=True):
        if block[1] == "python":
            commands = [f"python - <<'PYTHON'\n{block[2]}PYTHON"]
        elif block[1] == "sh":
            lines = re.sub(r"\s*\\\n\s*", " ", block[2]).splitlines()
            bare = (re.sub(r"(^|\s\s+)#.*", "", line).strip() for line in lines)
            commands = [line for line in bare if line]
        else:
            continue
        between = readme[block.end() : behind.start()].strip() if behind else "end"
        shown = behind[2] if behind and not behind[1] and not between else ""
        yield Step(commands, shown)


def copy_of(repository: Path, clone: Path) -> None:
    """A clone; where git gives none, the files without what is built."""
    done = subprocess.run(["git", "clone", "--quiet", repository, clone], check=False)
    if done.returncode:
        print("not a repository that git clones; its files are copied", flush=True)
        shutil.rmtree(clone, ignore_errors=True)
        built = shutil.ignore_patterns(".*", "runs", "data", "site", "build", "dist", "*.egg-info")
        shutil.copytree(repository, clone, ignore=built)


def main() -> None:
    """Clone, and follow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="the clone's folder; used again if it is there")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone = (asked.keep or Path(folder) / "neuralcodes").resolve()
        if not clone.exists():
            copy_of(ROOT, clone)
        home = Path(folder) / "home"
        home.mkdir()
        shell = Shell(clone, home)
        start = time.perf_counter()
        used, ran, left = set(), 0, 0
        for step in steps((clone / "README.md").read_text(encoding="utf-8")):
            printed = ""
            for command in step.commands:
                rule = next((one for one in RULES if re.fullmatch(one.command, command)), None)
                used.add(rule)
                if rule and rule.needs and rule.needs not in os.environ:
                    print(f"NOT RUN  {command}\n         {rule.needs} is not set", flush=True)
                    left += 1
                    continue
                printed += follow(shell, command, rule)
                ran += 1
            if step.shown:
                compare(step.shown, printed)
        unused = [rule.command for rule in RULES if rule not in used]
        assert not unused, f"no command of README matches {unused}"
    seconds = time.perf_counter() - start
    print(f"README followed: {ran} commands in {seconds:.0f} s, {left} not run")


def follow(shell: Shell, command: str, rule: Rule | None) -> str:
    """Run one command, say how long it took, and give what it printed."""
    start = time.perf_counter()
    typed = f"{command} {rule.more}" if rule else command
    printed = shell.serve(typed, rule.answers) if rule and rule.answers else shell.run(typed)
    print(f"{time.perf_counter() - start:6.1f} s  {command.splitlines()[0]}", flush=True)
    if rule:
        print(f"          as `{typed}`: {rule.reason}", flush=True)
    return printed


class Shell:
    """One bash that commands are typed into, so that what they set stays set."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.said, self.errors, self.typed = home / "out", home / "errors", home / "typed"
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "VIRTUAL_ENV", "NEURALCODES_"))
            or name == "NEURALCODES_TINY_IMAGENET"
        }
        # A browser that opens nothing: `--open` is followed as far as that.
        kept |= {"HOME": str(home), "BROWSER": "true", "PIP_CACHE_DIR": self.pip_cache()}
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], cwd=folder, env=kept, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    @staticmethod
    def pip_cache() -> str:
        """What was downloaded before is not downloaded again."""
        asked = [sys.executable, "-m", "pip", "cache", "dir"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()

    def type(self, command: str) -> None:
        """Start a command; `status` waits for it."""
        assert self.process.stdin is not None
        self.typed.write_text(f"{command}\n", encoding="utf-8")
        self.process.stdin.write(
            f". '{self.typed}' < /dev/null > '{self.said}' 2> '{self.errors}'; echo $?\n"
        )
        self.process.stdin.flush()

    def status(self, command: str) -> str:
        """What the command printed, when it has ended well."""
        assert self.process.stdout is not None
        status = self.process.stdout.readline().strip()
        printed = self.said.read_text(encoding="utf-8")
        if status != "0":
            errors = self.errors.read_text(encoding="utf-8")
            sys.exit(f"FAILED   {command}\n{printed}{errors}\nexit status {status}")
        return printed

    def run(self, command: str) -> str:
        """Run a command to its end."""
        self.type(f"timeout {LIMIT:.0f} {command}" if self.simple(command) else command)
        return self.status(command)

    @staticmethod
    def simple(command: str) -> bool:
        """Whether `timeout` can run it: nothing of the shell's own."""
        return re.match(r"(make|neuralcodes|python|pip)\b", command) is not None

    def serve(self, command: str, address: str) -> str:
        """Start a server, ask it, and end it."""
        self.type(f"{command} & server=$!\nuntil [ -e '{self.typed}.asked' ]; do sleep 0.2; done\n"
                  "kill $server; wait $server")  # fmt: skip
        until = time.monotonic() + 120
        answers = []
        while len(answers) < 2:
            try:
                for path in ("", "api/v1/search?id=1&k=3"):
                    with urllib.request.urlopen(address + path, timeout=60) as answer:
                        answers.append(answer.status)
            except OSError as error:
                answers = []
                if time.monotonic() > until:
                    sys.exit(f"FAILED   {command}\n{error}\n{self.errors.read_text()}")
                time.sleep(0.5)
        Path(f"{self.typed}.asked").touch()
        return self.status(command)


def compare(shown: str, printed: str) -> None:
    """Stop where what was printed is not what README shows."""
    wanted, lines = shown.splitlines(), printed.splitlines()
    for part in re.split(r"^…\n", shown, flags=re.MULTILINE):
        rows = part.splitlines()
        ends = range(len(rows), len(lines) + 1)
        end = next((at for at in ends if all(map(same, rows, lines[at - len(rows) : at]))), None)
        if end is None:
            sys.exit(f"OTHERWISE: README shows\n{part}\nand printed was\n{printed}")
        lines = lines[end:]
    print(f"          {len(wanted)} lines printed as README shows", flush=True)


def same(shown: str, printed: str) -> bool:
    """Whether two lines say the same, within the tolerance that this file's head states."""
    ours, theirs = shown.split(), printed.split()
    if len(ours) != len(theirs):
        return False
    return all(
        one == other or _near(one, other, unit)
        for one, other, unit in zip(ours, theirs, [*ours[1:], ""], strict=True)
    )


def _near(one: str, other: str, unit: str) -> bool:
    number = re.compile(r"(\(?)(-?[\d,]+(?:\.\d+)?)([),;:.]*)")
    a, b = number.fullmatch(one), number.fullmatch(other)
    if not a or not b or (a[1], a[3]) != (b[1], b[3]):
        return False
    if unit.strip("),;:.") in FREE:
        return True
    value, found = (float(text[2].replace(",", "")) for text in (a, b))
    return "." in a[2] and "." in b[2] and abs(value - found) <= TOLERANCE


if __name__ == "__main__":
    main()
