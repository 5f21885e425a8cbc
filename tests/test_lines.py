"""Lines of code are counted as a person would count them."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

from scripts import load_script

SOURCE = '''"""A module.

Of two paragraphs.
"""

from math import (  # a comment beside code
    pi,
)

# a comment alone


class Circle:
    """Round."""

    text = """not
    a docstring"""

    def area(self, radius: float) -> float:
        """pi r squared."""
        return pi * radius**2  # so says Archimedes
'''


def load() -> ModuleType:
    return load_script("tools/lines.py")


def test_docstrings_comments_and_blanks_are_no_code():
    # import of three lines, class, text of two, def, return
    assert load().code_lines(SOURCE) == 8
    assert load().code_lines("") == 0


def test_files_are_counted_in_the_folder_below_their_place():
    tool = load()
    files = [
        ("src/neuralcodes/estimator.py", "a = 1\n"),
        ("src/neuralcodes/codes/spec.py", "a = 1\nb = 2\n"),
        ("src/neuralcodes/codes/transforms/pca.py", "a = 1\n"),
        ("tests/made.py", "a = 1\n"),
    ]
    counted = tool.count(files)
    assert counted == {"src/neuralcodes": 1, "src/neuralcodes/codes": 3, "tests": 1}
    lines = tool.table("abc", Counter({"src/neuralcodes/codes": 5}), counted).splitlines()
    assert lines[0] == "| folder | abc | now | change |"
    assert "| src/neuralcodes/codes | 5 | 3 | -2 |" in lines
    assert "| **src/neuralcodes** | 5 | 4 | -1 |" in lines
    assert lines[-1] == "| **tests** | 0 | 1 | +1 |"
