"""Data that is missing, that cannot be learnt from, or that the study does not fit."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., str]
OPTIMIZE = ("optimize", "--study", "mine")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        # a missing file, module or column
        ("table.csv", "tabel.csv", ("data.path: no such file 'tabel.csv'", "tried ")),
        ('"table.csv"', '"studies"', ("studies: the folder holds no data", "train-images-idx3")),
        ('"table.csv"', '"$NO_SUCH_DATA/a"', ("data.path", "NO_SUCH_DATA is not set", "export")),
        ('target = "kind"', "", ("data.target: no target given", 'target = "label"')),
        ('"kind"', '"knid"', ("table.csv", "'knid'", "did you mean 'kind'?")),
        ('path = "table.csv"', 'source = "nowhere:load"', ("nowhere:load: no module 'nowhere'",)),
        (
            'path = "table.csv"',
            'source = "math:sin"',
            ("math:sin: ", "--allow math"),
        ),
        ('path = "table.csv"', 'source = "math"', ("data.source", "is not module:function")),
        ('path = "table.csv"', "", ("neither source nor path", "give one")),
        ('"kind"', '"kind"\ndrop = ["aa"]', ("table.csv: no column 'aa'", "did you mean 'a'?")),
        ('"kind"', '"kind"\nkeep = ["bb"]', ("data.keep: no column 'bb'", "did you mean 'b'?")),
        ('"kind"', '"kind"\ndrop = ["kind"]', ("data.drop: column 'kind' is used",)),
        ('"kind"', '"kind"\ndrop = [3]', ("data.drop[0]", "is not a string")),
        ('"kind"', '"kind"\nweight = "aa"', ("table.csv: no column 'aa'", "did you mean 'a'?")),
        ('"kind"', '"kind"\nweight = "kind"', ("data.weight: 'kind' is used for something else",)),
        (
            '"kind"',
            '"kind"\nweight = "a"',
            ("1 of 40 weights are no positive numbers", "row 2 (the header is row 1): 0"),
        ),
        # what several targets cannot be
        ('"kind"', '["kind"]', ("data.target: lists fewer than two columns",)),
        ('"kind"', '["kind", 3]', ("data.target[1]", "is not a string")),
        ('"kind"', '["kind", "c"]', ("table.csv: no column 'c'",)),
        (
            '"kind"',
            '["kind", "a"]',
            ("target 'kind': label 'one' in row 2", "neither yes nor no, and no number"),
        ),
        (
            '"kind"',
            '["kind", "a"]\ntask = "multilabel"',
            ("target 'kind': label 'one' in row 2", "is neither yes nor no", "40 such rows"),
        ),
        ('"kind"', '["a", "b"]', ("accuracy is for classification", "for regression: mse")),
        # what the labels cannot be
        ('"accuracy"', '"rmse"', ("metric", "rmse is for regression", "for classification: ")),
        ('"kind"', '"kind"\ntask = "regression"', ("table.csv", "text", 'task = "classif')),
        # shares that leave a split without a class
        ('"kind"', '"kind"\nvalidation = 0.01', ("table.csv", "validation", "one of each of 2")),
        (
            '"kind"',
            '"kind"\nvalidation = 1.5',
            ("data.validation: found 1.5, which is not a number between 0 and 1",),
        ),
        ('"kind"', '"kind"\nvalidation = 0.6\ntest = 0.4', ("nothing to train on", "below 1")),
        # folds that cannot be
        (
            '"kind"',
            '"kind"\nvalidation = { folds = 1 }',
            ("data.validation.folds: found 1", "at least 2"),
        ),
        (
            '"kind"',
            '"kind"\nvalidation = { folds = 2.5 }',
            ("data.validation.folds: found 2.5",),
        ),
        ('"kind"', '"kind"\nvalidation = { fold = 5 }', ("data.validation.fold", "mean 'folds'?")),
        ('"kind"', '"kind"\nvalidation = {}', ("data.validation", "{ folds = 5 }")),
        (
            '"kind"',
            '"kind"\nvalidation = { folds = 20 }',
            (
                "class 'one' has 20 rows",
                "each of 20 folds and the test split needs one",
                "fewer folds",
            ),
        ),
        (
            '"kind"',
            '"kind"\nsplit = "a"\nvalidation = { folds = 5 }',
            ("data.validation: folds cannot be combined with split", "remove split"),
        ),
        (
            '"kind"',
            '"kind"\ngroup = "b"\nvalidation = { folds = 7 }',
            ("column 'b': 7 groups cannot be divided into 7 folds and the test split",),
        ),
        # a text that is not there, or not for this family, and its vectors
        ('"kind"', '"kind"\ntext = "bb"', ("table.csv: no column 'bb'", "did you mean 'b'?")),
        ('"kind"', '"kind"\ntext = "kind"', ("'kind' is the target and cannot be the text",)),
        ('"kind"', '"kind"\ntext = "b"', ("family linear", "a row is text", "families for text")),
        ('"kind"', '"kind"\nmax_length = 9', ("data.max_length: applies to text", "text = ")),
        ('"kind"', '"kind"\ntext = "b"\nvectors = "no"', ("data.vectors: no such file 'no'",)),
        (
            '"kind"',
            '"kind"\ntext = "b"\nvectors = "$NO_SUCH_VECTORS"',
            ("data.vectors", "NO_SUCH_VECTORS is not set"),
        ),
        # techniques and families that need something else
        ('"linear"', '"cnn"', ("model.family cnn", "needs images", "shape = [1, 8, 8]")),
        (
            "[training]",
            "[regularization]\ncutout = 0.5\n[training]",
            ("regularization.cutout", "needs images"),
        ),
    ],
)
def test_a_mistake_in_the_study_file(
    edit: Callable[..., None], refused: Run, old: str, new: str, words: tuple[str, ...]
) -> None:
    edit(old, new)
    refused(*OPTIMIZE, words=words)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", ("the file is empty",)),
        ("a,b,kind\n", ("table.csv", "row")),
        ("a,b,kind\n" + "1,2,one\n" * 12, ("all 12 labels are 'one'", "at least two classes")),
        ("a,b,kind\n" + "1,2,one\n3,4,\n" * 12, ("all 12 labels are 'one'",)),
        ("a,b,kind\n" + "1,2,one\n" * 12 + "1,3,two\n", ("class 'two' is too small", "1 row")),
        (
            "a,b,kind\n" + "1,x,one\n1,x,two\n" * 12,
            ("table.csv: no column is left to learn from", "constant: 'x' in every training row"),
        ),
        ("a,b,kind\n" + "1,inf,one\n2,2,two\n" * 12, ("table.csv", "infinite")),
        (
            "a,a,kind\n" + "1,2,one\n2,3,two\n" * 12,
            ("table.csv: columns with the same name: a", "rename"),
        ),
        ("a,b,kind\n" + '1,"2,one\n' * 12, ("table.csv",)),
        ("kind\n" + "one\ntwo\n" * 12, ("table.csv: one column only, 'kind'", "comma")),
        ("a,b,kind\n" + "1,2,one\n" * 12 + "1,2\n", ("line 14 has 2 fields", "header has 3")),
        ("a,b,kind\n" + "1,2,one\n" * 12 + "1,2,3,4\n", ("line 14 has 4 fields",)),
        (
            "a,b,kind\n" + "".join(f"{i % 5},2,k{i}\n" for i in range(30)),
            ("all 30 labels are different", 'task = "regression"'),
        ),
    ],
)
def test_a_table_that_cannot_be_learnt_from(
    folder: Path, refused: Run, table: str, words: tuple[str, ...]
) -> None:
    (folder / "table.csv").write_text(table)
    refused(*OPTIMIZE, words=words)


def test_a_column_of_a_million_categories(folder: Path, refused: Run) -> None:
    """A tenth of them twice, as in a column of people who may come again."""
    rows = "".join(f"x{i % 1_000_000},1,{i & 1}\n" for i in range(1_100_000))
    (folder / "table.csv").write_text(f"a,b,kind\n{rows}")
    told = refused("check", "--study", "mine", words=("column 'a' has", "group its values"))
    assert "categories in 660000 training rows, but at most 1000 are allowed" in told


def test_a_table_that_is_no_text(folder: Path, refused: Run) -> None:
    (folder / "table.csv").write_bytes(b"a,b,kind\n\x81\x8d\xff,2,one\n")
    refused(*OPTIMIZE, words=("table.csv: is not text", "tried utf-8-sig and cp1252", "UTF-8"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("vectors.txt: holds no word vectors",)),
        ("1 0.5\n2 0.5 0.5\n", ("vectors.txt: line 2 has 2 numbers", "the lines before have 1")),
        ("1 high\n", ("vectors.txt: line 1 holds something that is not a number",)),
    ],
)
def test_word_vectors_that_cannot_be_read(
    folder: Path, edit: Callable[..., None], refused: Run, text: str, words: tuple[str, ...]
) -> None:
    (folder / "vectors.txt").write_text(text)
    edit('"kind"', '"kind"\ntext = "b"\nvectors = "vectors.txt"')
    refused(*OPTIMIZE, words=words)


@pytest.mark.parametrize("key", ["group", "time", "split"])
def test_a_column_that_divides_rows_and_is_missing(
    edit: Callable[..., None], refused: Run, key: str
) -> None:
    edit('"kind"', f'"kind"\n{key} = "bb"')
    refused(*OPTIMIZE, words=("table.csv: no column 'bb'", "did you mean 'b'?"))


def test_files_of_images_that_cannot_be_learnt_from(
    folder: Path, edit: Callable[..., None], refused: Run
) -> None:
    edit('path = "table.csv"\ntarget = "kind"', 'path = "images"')
    for name in ("cat", "dog"):
        (folder / "images" / name).mkdir(parents=True)
        for i in range(6):
            Image.new("L", (8, 8), i).save(folder / "images" / name / f"{i}.png")
    Image.new("L", (9, 8)).save(folder / "images" / "dog" / "3.png")
    refused(*OPTIMIZE, words=("dog/3.png: 9 x 8 pixels", "cat/0.png has 8 x 8", "resize = [8, 8]"))
    edit('path = "images"', 'path = "images"\nresize = [8]')
    refused(*OPTIMIZE, words=("data.resize", "[8] is not a height and a width"))
    edit("resize = [8]", "resize = [8, 8]")
    noise = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)
    for content in (b"no image", b"", png(noise)[:90]):
        (folder / "images" / "dog" / "3.png").write_bytes(content)
        for command in (OPTIMIZE, ("check", *OPTIMIZE[1:]), ("init", "new", "--data", "images")):
            refused(*command, words=("dog/3.png: cannot be read as an image", "repair or remove"))


def png(pixels: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def test_idx_files_that_cannot_be_learnt_from(
    folder: Path, edit: Callable[..., None], refused: Run
) -> None:
    edit('path = "table.csv"\ntarget = "kind"', 'path = "mnist"')
    (folder / "mnist").mkdir()
    for part in ("train", "t10k"):
        images = struct.pack(">IIII", 0x803, 30, 4, 4) + bytes(30 * 16)
        (folder / "mnist" / f"{part}-images-idx3-ubyte").write_bytes(images)
        labels = struct.pack(">II", 0x801, 20) + bytes(range(10)) * 2
        (folder / "mnist" / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    refused(*OPTIMIZE, words=("30 images, but train-labels-idx1-ubyte has 20 labels",))
    (folder / "mnist" / "train-labels-idx1-ubyte").write_text("<html>404</html>")
    refused(*OPTIMIZE, words=("train-labels-idx1-ubyte: is not an IDX file",))


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("gaps", "[[0.0]] * 30, [float('nan')] * 30", ("30 of 30 labels", "row 0")),
        ("alike", "[[0.0]] * 30, ['same'] * 30", ("all 30 labels are 'same'",)),
        ("uneven", "[[0.0]] * 30, [0, 1] * 10", ("30", "20")),
        ("raising", "1 / 0", ("raised ZeroDivisionError: division by zero",)),
        (
            "lacking",
            "__import__('torchvision_of_nobody.transforms')",
            ("needs the module 'torchvision_of_nobody'", "pip install torchvision-of-nobody"),
        ),
    ],
)
def test_a_function_whose_data_cannot_be_learnt_from(
    folder: Path,
    edit: Callable[..., None],
    refused: Run,
    name: str,
    body: str,
    words: tuple[str, ...],
) -> None:
    (folder / f"bad_{name}.py").write_text(f"def load():\n    return {body}\n")
    edit('path = "table.csv"\ntarget = "kind"', f'source = "bad_{name}:load"')
    refused(*OPTIMIZE, words=(f"bad_{name}:load: ", *words))


def test_a_metric_of_classes_for_a_quantity(
    folder: Path, edit: Callable[..., None], refused: Run
) -> None:
    rows = "".join(f"{i},{i / 7}\n" for i in range(40))
    (folder / "table.csv").write_text("a,kind\n" + rows)
    refused(*OPTIMIZE, words=("accuracy is for classification, but the data is for regression",))
    edit('metric = "accuracy"\n', "")
    edit("[training]", "[regularization]\nlabel_smoothing = 0.1\n[training]")
    refused(*OPTIMIZE, words=("regularization.label_smoothing", "needs classes"))


def test_what_the_console_script_says(
    folder: Path, edit: Callable[..., None], refused_warm: Run
) -> None:
    edit("table.csv", "tabel.csv")
    refused_warm(*OPTIMIZE, words=("no such file 'tabel.csv'", str(folder / "tabel.csv")))
