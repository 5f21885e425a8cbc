from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from neuralcodes.common.errors import UserError
from neuralcodes.index.backend import backend_names, get_backend, register
from neuralcodes.index.scan import ScanIndex


def test_own_backends_are_known() -> None:
    assert {"exact", "fastscan", "flat", "hnsw", "ivfpq"} <= set(backend_names())
    assert get_backend("exact") is ScanIndex


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"unknown index 'annoy'; there are: .*exact.*hnsw"):
        get_backend("annoy")


def test_a_taken_name_is_refused() -> None:
    with pytest.raises(ValueError, match="'exact' is taken"):

        @register("exact")
        class Other(ScanIndex):
            pass


def test_a_plug_in_is_found_and_a_broken_one_named(tmp_path: Path) -> None:
    (tmp_path / "my_index.py").write_text(
        "from neuralcodes.index.backend import register\n"
        "from neuralcodes.index.scan import ScanIndex\n"
        "@register('mine')\nclass Mine(ScanIndex):\n    '''Mine.'''\n"
    )
    (tmp_path / "bad_index.py").write_text("raise RuntimeError('no licence')\n")

    def declare(name: str, module: str) -> None:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[neuralcodes.indexes]\n{name} = {module}\n")

    def ask(code: str) -> str:
        program = (
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
            "from neuralcodes.index.backend import get_backend\n"
            "from neuralcodes.common.errors import UserError\n"
            f"try:\n    print({code})\nexcept UserError as error:\n    print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    declare("mine", "my_index")
    assert "Mine" in ask("get_backend('mine')")
    declare("bad", "bad_index")
    assert "ScanIndex" in ask("get_backend('exact')")  # ours needs no plug-in
    answer = ask("get_backend('other')")
    assert "index plug-in 'bad' (bad_index, from bad) cannot be loaded" in answer
    assert "no licence" in answer and "Traceback" not in answer


def test_the_exact_index_needs_neither_torch_nor_faiss() -> None:
    program = (
        "import numpy as np, sys\n"
        "from neuralcodes.index.scan import ScanIndex\n"
        "index = ScanIndex(2)\n"
        "index.add(np.eye(2, dtype=np.float32), np.array([3, 4]))\n"
        "print(index.search(np.eye(2, dtype=np.float32), 1).rows.ravel().tolist())\n"
        "print('torch' in sys.modules, 'faiss' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.split("\n")[:2] == ["[3, 4]", "False False"], done.stderr
