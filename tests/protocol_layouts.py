"""Small data sets in the layouts of the official ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.io import savemat

OXFORD_KEYS = tuple(f"jpg/all_souls_{n:06}.jpg" for n in range(8))


def oxford(root: Path) -> Path:
    """Two queries; the second's junk names an image that is not there."""
    root.mkdir(parents=True, exist_ok=True)
    files = {
        "all_souls_1_query": "oxc1_all_souls_000001 10.5 2 40 31.6\n",
        "all_souls_1_good": "all_souls_000001\nall_souls_000002\n",
        "all_souls_1_ok": "all_souls_000003\n",
        "all_souls_1_junk": "all_souls_000004\n",
        "all_souls_2_query": "oxc1_all_souls_000005 0 0 20 20\n",
        "all_souls_2_good": "all_souls_000005\n",
        "all_souls_2_ok": "",
        "all_souls_2_junk": "all_souls_000099\nall_souls_000006\n",
    }
    for name, text in files.items():
        (root / f"{name}.txt").write_text(text)
    return root


REVISITED = {
    "imlist": [f"oxford_{n:06}" for n in range(6)],
    "qimlist": ["query_000000", "query_000001"],
    "gnd": [
        {"easy": [0, 1], "hard": [3], "junk": [5], "bbx": [1.2, 2.0, 30.5, 40.0]},
        {"easy": [], "hard": [2], "junk": [0, 1], "bbx": [0, 0, 10, 10]},
    ],
}


def revisited(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    file = root / "gnd_roxford5k.json"
    file.write_text(json.dumps(REVISITED))
    return file


def cub200(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    names = [
        "001.Albatross/Albatross_1.jpg",
        "101.Pelican/Pelican_1.jpg",
        "101.Pelican/Pelican_2.jpg",
        "200.Yellowthroat/Yellowthroat_1.jpg",
    ]
    (root / "images.txt").write_text("".join(f"{n} {name}\n" for n, name in enumerate(names, 1)))
    (root / "image_class_labels.txt").write_text("1 1\n2 101\n3 101\n4 200\n")
    return root


def cars196(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    fields = ["relative_im_path", "bbox_x1", "class", "test"]
    classes = [1, 98, 99, 99, 196]
    records = [(f"car_ims/{n:06}.jpg", 1, c, 0) for n, c in enumerate(classes, 1)]
    annotations = np.array([records], dtype=[(field, object) for field in fields])
    savemat(root / "cars_annos.mat", {"annotations": annotations})
    return root


def sop(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "Ebay_test.txt").write_text(
        "image_id class_id super_class_id path\n"
        "59552 11319 1 bicycle_final/251952414262_0.JPG\n"
        "59553 11319 1 bicycle_final/251952414262_1.JPG\n"
        "59554 11320 2 cabinet_final/251952414263_0.JPG\n"
    )
    return root


def inshop(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "list_eval_partition.txt").write_text(
        "5\n"
        "image_name item_id evaluation_status\n"
        "img/WOMEN/Dresses/id_00000001/02_1_front.jpg                id_00000001 train\n"
        "img/WOMEN/Dresses/id_00000002/02_1_front.jpg                id_00000002 query\n"
        "img/WOMEN/Dresses/id_00000002/03_1_front.jpg                id_00000002 gallery\n"
        "img/MEN/Denim/id_00000080/01_1_front.jpg                    id_00000080 query\n"
        "img/MEN/Denim/id_00000081/01_1_front.jpg                    id_00000081 gallery\n"
    )
    return root
