"""Each protocol's files, in small, and its corner cases."""

import json

import pytest

import protocol_layouts as layouts
from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.protocols.groundtruth import Classes, Lists, Query
from neuralcodes.evaluation.protocols.registry import get_protocol, protocols


def names_of(truth):
    return [measure.name for measure in truth.measures]


def test_oxford(tmp_path):
    truth = get_protocol("oxford5k").open(layouts.oxford(tmp_path), layouts.OXFORD_KEYS)
    assert truth.queries == (
        Query("all_souls_1", "all_souls_000001", (10.5, 2, 40, 31.6)),
        Query("all_souls_2", "all_souls_000005", (0, 0, 20, 20)),
    )
    assert truth.tasks[""] == Lists(
        (("all_souls_000001", "all_souls_000002", "all_souls_000003"), ("all_souls_000005",)),
        (("all_souls_000004",), ("all_souls_000099", "all_souls_000006")),
    )
    assert truth.database is None and truth.own_image_counts and truth.has_boxes
    assert names_of(truth) == ["Oxford average precision"]


def test_paris_has_no_prefix(tmp_path):
    layouts.oxford(tmp_path)
    (tmp_path / "all_souls_1_query.txt").write_text("paris_defense_000605 0 0 1 1")
    truth = get_protocol("paris6k").open(tmp_path, ())
    assert (truth.protocol, truth.queries[0].image) == ("paris6k", "paris_defense_000605")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("all_souls_1_query", "oxc1_all_souls_000001 1 2 3", "four numbers of a box"),
        ("all_souls_1_query", "", "four numbers of a box"),
        ("all_souls_1_ok", "all_souls_000001", "all_souls_000001 stands twice"),
        ("all_souls_1_ok", None, "all_souls_1_ok.txt: no such file"),
        ("all_souls_1_ok", b"\xff\xfe\x00", "not a text file"),
    ],
)
def test_broken_oxford_files(tmp_path, file, text, message):
    path = layouts.oxford(tmp_path) / f"{file}.txt"
    path.unlink()
    if isinstance(text, bytes):
        path.write_bytes(text)
    elif text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message):
        get_protocol("oxford5k").open(tmp_path, layouts.OXFORD_KEYS)


@pytest.mark.parametrize("as_folder", [True, False])
def test_revisited(tmp_path, as_folder):
    file = layouts.revisited(tmp_path)
    truth = get_protocol("roxford5k").open(tmp_path if as_folder else file, ())
    assert truth.queries[0] == Query("query_000000", "query_000000", (1.2, 2.0, 30.5, 40.0))
    assert truth.database == tuple(layouts.REVISITED["imlist"])
    o = "oxford_00000"
    assert truth.tasks == {
        "easy": Lists(((f"{o}0", f"{o}1"), ()), ((f"{o}5", f"{o}3"), (f"{o}0", f"{o}1", f"{o}2"))),
        "medium": Lists(
            ((f"{o}0", f"{o}1", f"{o}3"), (f"{o}2",)), ((f"{o}5",), (f"{o}0", f"{o}1"))
        ),
        "hard": Lists(((f"{o}3",), (f"{o}2",)), ((f"{o}5", f"{o}0", f"{o}1"), (f"{o}0", f"{o}1"))),
    }
    assert names_of(truth) == ["Oxford average precision", "mP@1", "mP@5", "mP@10"]


def test_pickles_are_not_loaded_and_the_error_says_how_to_convert(tmp_path):
    """The command in the message is run as it stands, on a pickle with NumPy's arrays in it."""
    import pickle
    import re
    import subprocess
    import sys

    import numpy as np

    gnd = [{k: np.array(v) for k, v in entry.items()} for entry in layouts.REVISITED["gnd"]]
    (tmp_path / "gnd_rparis6k.pkl").write_bytes(pickle.dumps({**layouts.REVISITED, "gnd": gnd}))
    protocol = get_protocol("rparis6k")
    for place in (tmp_path, tmp_path / "gnd_rparis6k.pkl"):
        with pytest.raises(UserError, match="never loaded here") as caught:
            protocol.open(place, ())
    command = re.search(r'python -c "(.*)"$', str(caught.value))[1]
    subprocess.run([sys.executable, "-c", command], cwd=tmp_path, check=True)
    assert protocol.open(tmp_path, ()).queries[1].box == (0, 0, 10, 10)


@pytest.mark.parametrize(
    "change",
    [
        {"imlist": None},
        {"imlist": [1, 2]},
        {"gnd": []},
        {"gnd": [{"easy": [6], "hard": [], "junk": [], "bbx": [0, 0, 1, 1]}] * 2},
        {"gnd": [{"easy": [-1], "hard": [], "junk": [], "bbx": [0, 0, 1, 1]}] * 2},
        {"gnd": [{"easy": [], "hard": [], "junk": [], "bbx": [0, 0, 1]}] * 2},
        {"gnd": [{"easy": [], "hard": [], "bbx": [0, 0, 1, 1]}] * 2},
        {"gnd": [3, 4]},
    ],
)
def test_broken_revisited_files(tmp_path, change):
    (tmp_path / "gnd.json").write_text(json.dumps({**layouts.REVISITED, **change}))
    with pytest.raises(UserError, match="not the ground truth of roxford5k"):
        get_protocol("roxford5k").open(tmp_path / "gnd.json", ())


def test_holidays():
    keys = ("jpg/100001.jpg", "jpg/100000.jpg", "jpg/100100.jpg", "jpg/100002.jpg", "other.jpg")
    truth = get_protocol("holidays").open(None, keys)
    assert [query.image for query in truth.queries] == ["jpg/100000.jpg", "jpg/100100.jpg"]
    assert truth.tasks[""].relevant == (("jpg/100001.jpg", "jpg/100002.jpg"), ())
    assert not truth.own_image_counts and truth.database is None
    assert names_of(truth) == ["Oxford average precision"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (("a.jpg",), "no image NNNN00"),
        (("100001.jpg", "100100.jpg"), "group 1000 has no image 100000"),
        (("x/100000.jpg", "y/100000.jpg"), "100000 stands twice"),
    ],
)
def test_broken_holidays(keys, message):
    with pytest.raises(UserError, match=message):
        get_protocol("holidays").open(None, keys)


def test_ukbench():
    keys = (*(f"full/ukbench{n:05}.jpg" for n in range(8)), "distractor.jpg")
    truth = get_protocol("ukb").open(None, keys)
    assert len(truth.queries) == 8 and truth.own_image_counts
    classes = truth.tasks[""]
    assert classes.queries == ("0",) * 4 + ("1",) * 4
    assert names_of(truth) == ["4 × recall@4"]
    with pytest.raises(UserError, match="ukbench00004 to ukbench00007"):
        get_protocol("ukb").open(None, keys[:7])
    with pytest.raises(UserError, match="ukbench00000 to ukbench00003"):
        get_protocol("ukb").open(None, ("a.jpg",))


def test_cub200(tmp_path):
    truth = get_protocol("cub200").open(layouts.cub200(tmp_path), ())
    pelicans = ("101.Pelican/Pelican_1.jpg", "101.Pelican/Pelican_2.jpg")
    assert truth.database == (*pelicans, "200.Yellowthroat/Yellowthroat_1.jpg")
    assert truth.tasks[""].queries == ("101", "101", "200")
    assert names_of(truth) == [
        "Recall@1 (hit)", "Recall@2 (hit)", "Recall@4 (hit)", "Recall@8 (hit)", "R-precision",
        "MAP@R",
    ]  # fmt: skip
    (tmp_path / "image_class_labels.txt").write_text("1 1\n2 101\n3 101\n")
    with pytest.raises(UserError, match="number other images"):
        get_protocol("cub200").open(tmp_path, ())
    (tmp_path / "image_class_labels.txt").write_text("1 1\n2 1\n3 2\n4 100\n")
    with pytest.raises(UserError, match="no test images"):
        get_protocol("cub200").open(tmp_path, ())


def test_cars196(tmp_path):
    truth = get_protocol("cars196").open(layouts.cars196(tmp_path), ())
    assert truth.database == ("car_ims/000003.jpg", "car_ims/000004.jpg", "car_ims/000005.jpg")
    assert truth.tasks[""].queries == ("99", "99", "196")
    (tmp_path / "cars_annos.mat").write_bytes(b"MATLAB 5.0 damaged")
    with pytest.raises(UserError, match="not the official cars_annos"):
        get_protocol("cars196").open(tmp_path, ())


def test_sop(tmp_path):
    truth = get_protocol("sop").open(layouts.sop(tmp_path), ())
    assert truth.tasks[""].queries == ("11319", "11319", "11320")
    assert truth.database[0] == "bicycle_final/251952414262_0.JPG"
    assert names_of(truth)[:4] == [f"Recall@{k} (hit)" for k in (1, 10, 100, 1000)]
    (tmp_path / "Ebay_test.txt").write_text("image_id class_id super_class_id path\n1 2 3\n")
    with pytest.raises(UserError, match="line 2: 3 words, not 4"):
        get_protocol("sop").open(tmp_path, ())


def test_inshop(tmp_path):
    truth = get_protocol("in-shop").open(layouts.inshop(tmp_path), ())
    assert [query.image.split("/")[3] for query in truth.queries] == ["id_00000002", "id_00000080"]
    assert truth.database == (
        "img/WOMEN/Dresses/id_00000002/03_1_front.jpg",
        "img/MEN/Denim/id_00000081/01_1_front.jpg",
    )
    assert truth.tasks[""] == Classes(
        ("id_00000002", "id_00000080"),
        dict(zip(truth.database, ("id_00000002", "id_00000081"), strict=True)),
    )
    (tmp_path / "list_eval_partition.txt").write_text("1\nimage item status\n")
    with pytest.raises(UserError, match="its header is not"):
        get_protocol("in-shop").open(tmp_path, ())


CLASS_KEYS = ("set/train/b/images/1.png", "set/train/a/images/2.png", "set/train/b/images/3.png")


def test_class_retrieval_by_folders():
    truth = get_protocol("class-retrieval").open(None, CLASS_KEYS)
    assert truth.tasks[""].queries == ("b", "a", "b")
    assert not truth.own_image_counts
    assert names_of(truth)[0] == "average precision"
    for keys in (("1.png", "2.png"), ("a/1.png", "2.png")):
        with pytest.raises(UserError, match="in no class folder; give --labels"):
            get_protocol("class-retrieval").open(None, keys)


def test_class_retrieval_by_file(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("name,class\n1,cat\n2.png,dog\nb/images/3.png,cat\nelse,dog\n")
    truth = get_protocol("class-retrieval").open(file, CLASS_KEYS)
    assert truth.tasks[""].queries == ("cat", "dog", "cat")
    for text, message in {
        "1,cat\n": "columns name and class",
        "name,class\n1,cat\n": "2 images have no class",
        "name,class\n1,cat\n1,dog\n": "no class or more than one",
        "name,class\n1\n": "no class or more than one",
        "name,class\n1,x\n2,x\n3,x\n": "all images are of one class",
    }.items():
        file.write_text(text)
        with pytest.raises(UserError, match=message):
            get_protocol("class-retrieval").open(file, CLASS_KEYS)


def test_own_csv(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(
        "query,relevant,junk,box\na.jpg,b.jpg; c.jpg,d.jpg,1 2 3 4\ne.jpg,,,\na.jpg,f.jpg,,\n"
    )
    truth = get_protocol("own").open(file, ())
    assert truth.queries == (Query("a.jpg", "a.jpg", (1, 2, 3, 4)), Query("e.jpg", "e.jpg"))
    assert truth.tasks[""] == Lists((("b.jpg", "c.jpg", "f.jpg"), ()), (("d.jpg",), ()))
    file.write_text("query,relevant\na,b\n")  # junk is optional
    assert get_protocol("own").open(file, ()).tasks[""] == Lists((("b",),), ((),))


def test_own_json(tmp_path):
    file = tmp_path / "mine.json"
    queries = [{"query": "a", "relevant": ["b", "b"], "junk": ["c"], "box": [1, 2, 3, 4]}]
    file.write_text(json.dumps(queries))
    truth = get_protocol("own").open(file, ())
    assert truth.tasks[""] == Lists((("b",),), (("c",),)) and truth.database is None
    file.write_text(json.dumps({"queries": queries, "database": ["b", "c", "d"]}))
    assert get_protocol("own").open(file, ()).database == ("b", "c", "d")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.csv", "query,other\n1,2\n", "columns query, relevant and junk"),
        ("x.csv", "", "columns query"),
        ("x.csv", "query,relevant\n,b\n", "a line has no query"),
        ("x.csv", "query,relevant,junk\na,b,b\n", "b is both relevant and junk to a"),
        ("x.csv", "query,relevant,box\na,b,1 2 3\n", "box of a should be four numbers"),
        ("x.json", "{", "not a JSON file"),
        ("x.json", "[]", "holds no queries"),
        ("x.json", "3", "should be a list"),
        ("x.json", '[{"relevant": []}]', "should be a list"),
        ("x.json", '[{"query": "a", "relevant": "b"}]', "should be lists of names"),
        ("x.json", '[{"query": "a"}, {"query": "a"}]', "the query a stands twice"),
        ("x.json", '[{"query": "a", "box": 3}]', "box of a should be four numbers"),
        ("x.json", '{"queries": [{"query": "a"}], "database": ["b", "b"]}', "b stands twice"),
    ],
)
def test_broken_own_files(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        get_protocol("own").open(tmp_path / name, ())
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_or_not_wanted(tmp_path):
    for protocol in protocols():
        with pytest.raises(UserError):
            protocol.open(tmp_path / "none", ("a/1.jpg", "b/2.jpg"))
        if protocol.files_needed:
            with pytest.raises(UserError, match=f"--gnd: {protocol.name} needs"):
                protocol.open(None, ())
    with pytest.raises(UserError, match="holidays reads no files"):
        get_protocol("holidays").open(tmp_path, ())
    with pytest.raises(UserError, match=r"holds no \*_query.txt"):
        get_protocol("oxford5k").open(tmp_path, ())


def test_unknown_names_and_what_there_is():
    with pytest.raises(UserError, match="cars196, class-retrieval, cub200, holidays, in-shop"):
        get_protocol("imagenet")
    assert {p.name for p in protocols()} >= {
        "class-retrieval", "oxford5k", "paris6k", "roxford5k", "rparis6k", "holidays", "ukb",
        "cub200", "cars196", "sop", "in-shop", "own",
    }  # fmt: skip


def test_fingerprints_tell_judgements_apart(tmp_path):
    file = tmp_path / "mine.csv"
    prints = []
    for text in ("a,b,", "a,b,c", "a,c,b", "b,a,"):
        file.write_text("query,relevant,junk\n" + text + "\n")
        prints.append(get_protocol("own").open(file, ()).fingerprint())
    assert len(set(prints)) == 4
    assert get_protocol("own").open(file, ("other",)).fingerprint() == prints[-1]
