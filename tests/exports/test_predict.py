"""Raw rows in, predictions out: through the command line and from Python."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_wine
from typer.testing import CliRunner

import tuner
from tuner.cli import app
from tuner.data.prepare import STATISTICS
from tuner.exports.folder import CARD
from tuner.exports.predict import Predictor
from tuner.training.evaluate import predict as outputs_of

SMALL = {"epochs": 2, "batch_size": 32}
Export = Callable[..., Path]


def predicted(model: Path, file: Path, *more: str) -> pd.DataFrame:
    """What the command line says of a file, from stdout."""
    done = CliRunner().invoke(app, ["predict", "--model", str(model), "--input", str(file), *more])
    assert done.exit_code == 0, done.stderr
    return pd.read_csv(io.StringIO(done.stdout), dtype={"class": str})


@pytest.fixture(scope="module")
def label(place: Path, data: Any, trained: Any, again: Any) -> tuple[Path, Any]:
    """An export of a study of the table's label, and its trainer."""
    options = trained(
        "label", data=data("mlp"), training=SMALL, regularization={"batch_norm": True}
    )
    tuner.export("label", place / "label", options)
    return place / "label", again(options, "label")


@pytest.mark.parametrize("kind", STATISTICS)
def test_rows_of_the_study_get_the_studys_values(
    kind: str, frame: pd.DataFrame, data: Any, trained: Any, again: Any, tmp_path: Path
) -> None:
    about = {**data("mlp"), "target": "price", "drop": ["label", "text"], "preprocessing": kind}
    name = f"price-{kind}"
    options = trained(name, data=about, training=SMALL, regularization={"ema": 0.5})
    tuner.export(name, tmp_path / "model", options)
    trainer = again(options, name)
    rows = trainer.data.validation
    expected = trainer.data.target.predicted(outputs_of(trainer.network, rows.x)[:, 0])
    shuffled = frame.iloc[trainer.data.positions[1], ::-1].drop(columns="price")
    shuffled.to_csv(tmp_path / "rows.csv", index=False)
    found = predicted(tmp_path / "model", tmp_path / "rows.csv")
    assert list(found) == ["value"]
    np.testing.assert_allclose(found["value"], expected.numpy(), rtol=1e-6)


@pytest.mark.parametrize("scale", ["linear", "log", "log1p"])
def test_a_target_on_another_scale_and_within_its_range(
    scale: str, frame: pd.DataFrame, data: Any, trained: Any, again: Any, tmp_path: Path
) -> None:
    about = {**data("mlp"), "target": "price", "drop": ["label", "text"]}
    about |= {"target_scale": scale, "target_clip": True, "preprocessing": "robust"}
    options = trained(f"on-{scale}", data=about, training={"epochs": 5, "learning_rate": 0.03})
    tuner.export(f"on-{scale}", tmp_path / "model", options)
    trainer = again(options, f"on-{scale}")
    rows = trainer.data.validation
    values = trainer.data.target.predicted(outputs_of(trainer.network, rows.x)[:, 0])
    shown = tuner.predict(tmp_path / "model", frame.iloc[trainer.data.positions[1]])
    np.testing.assert_allclose(shown["value"], values.numpy(), rtol=1e-6)
    errors = shown["value"] - frame["price"].iloc[trainer.data.positions[1]]
    assert trainer.result.value == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-4)
    far = tuner.predict(tmp_path / "model", frame.assign(size=1e9, count=90_000))
    known = frame["price"].iloc[trainer.data.positions[0]]
    assert known.min() <= far["value"].min() <= far["value"].max() <= known.max()
    card = (tmp_path / "model" / "README.md").read_text()
    line = next(line for line in card.splitlines() if "is the value in the target's unit" in line)
    x = torch.tensor([[-0.5], [0.0], [99.0]])
    computed = eval(line.split("`")[1], {"outputs": x})
    torch.testing.assert_close(computed, trainer.data.target.predicted(x))
    assert "No prediction is outside of" in card


def test_classes_and_their_probabilities(
    label: tuple[Path, Any], frame: pd.DataFrame, tmp_path: Path
) -> None:
    model, trainer = label
    rows = frame.iloc[trainer.data.positions[1]]
    rows.to_parquet(tmp_path / "rows.parquet")
    rows.to_csv(tmp_path / "rows.tsv", index=False, sep="\t")
    expected = outputs_of(trainer.network, trainer.data.validation.x).softmax(1).numpy()
    classes = trainer.data.target.classes
    for name in ("rows.parquet", "rows.tsv"):
        found = predicted(model, tmp_path / name)
        assert list(found) == ["class", *(f"probability {each}" for each in classes)]
        np.testing.assert_allclose(found.iloc[:, 1:], expected, atol=1e-6)
        assert found["class"].tolist() == [classes[i] for i in expected.argmax(1)]


def test_an_export_that_knows_no_scale_of_its_target(
    label: tuple[Path, Any], frame: pd.DataFrame, tmp_path: Path
) -> None:
    """As those of an earlier tuner."""
    model = shutil.copytree(label[0], tmp_path / "model")
    about = json.loads((model / "preprocessing.json").read_text())
    assert (about["target"].pop("form"), about["target"].pop("limits")) == ("linear", None)
    (model / "preprocessing.json").write_text(json.dumps(about))
    expected = tuner.predict(label[0], frame)
    pd.testing.assert_frame_equal(tuner.predict(model, frame), expected)


def test_what_is_missing_or_new_is_as_in_the_training(label: tuple[Path, Any]) -> None:
    model, trainer = label
    size = trainer.data.recipe.features[0]
    assert size.encoder.flag
    plain = {"count": [3, 3], "on": [True, True]}
    gap = pd.DataFrame({**plain, "kind": ["x", "new"], "size": [None, None]}, index=["a", "b"])
    found = tuner.predict(model, gap)
    assert found.index.tolist() == ["a", "b"]
    names = [name for feature in trainer.data.recipe.features for name in feature.names]
    row = dict.fromkeys(names, 0.0)
    row |= {"size is missing": 1.0, "on": 1.0}
    numbers = {each.name: each for each in trainer.data.recipe.features if each.transform}
    for name, value in (("size", size.encoder.fill), ("count", 3)):
        row[name] = numbers[name].transform(np.array([[value]], dtype=float)).item()
    x = trainer.data.validation.x.new_tensor([[*row.values()]] * 2)
    x[0, names.index("kind = x")] = 1.0
    expected = outputs_of(trainer.network, x).softmax(1).numpy()
    np.testing.assert_allclose(found.iloc[:, 1:].to_numpy(float), expected, atol=1e-6)


def test_dates_and_words_of_rows_that_are_new(trained: Any, again: Any, tmp_path: Path) -> None:
    days = pd.Series(pd.date_range("2023-01-01", periods=90, freq="37h"))
    flag = np.where(np.arange(90) % 3 == 0, "ja", "Nein")
    frame = pd.DataFrame({"when": days.dt.strftime("%d.%m.%Y %H:%M"), "flag": flag})
    frame["paid"] = days[::-1].dt.strftime("%Y%m%d").astype(int).to_numpy()
    frame["price"] = np.arange(90) % 7 + (flag == "ja") + 0.25
    frame.to_csv(tmp_path / "dates.csv", index=False)
    about = {"path": str(tmp_path / "dates.csv"), "target": "price"}
    options = trained("dates", data=about, training=SMALL)
    tuner.export("dates", tmp_path / "model", options)
    trainer = again(options, "dates")
    assert {"when age", "when hour cos", "flag", "paid age"} < set(trainer.data.features)
    rows = trainer.data.validation
    expected = trainer.data.target.predicted(outputs_of(trainer.network, rows.x)[:, 0])
    known = frame.iloc[trainer.data.positions[1]]
    known.to_csv(tmp_path / "rows.csv", index=False)
    found = predicted(tmp_path / "model", tmp_path / "rows.csv")
    np.testing.assert_allclose(found["value"], expected.numpy(), rtol=1e-6)
    # As dates and booleans of a frame, in another form, and in the future.
    typed = known.assign(
        when=pd.to_datetime(known["when"], format="%d.%m.%Y %H:%M"), flag=known["flag"] == "ja"
    )
    with pytest.warns(UserWarning, match="column 'flag': .* a word that is neither yes nor no"):
        assert len(tuner.predict(tmp_path / "model", typed)) == len(known)
    typed["flag"] = typed["flag"].astype(int)
    typed["paid"] = pd.to_datetime(typed["paid"], format="%Y%m%d")
    again_found = tuner.predict(tmp_path / "model", typed)
    np.testing.assert_allclose(again_found["value"], found["value"], rtol=1e-6)
    later = pd.DataFrame({"when": ["24.12.2030 18:00", "morgen"], "flag": ["nein", "?"]})
    later["paid"] = [20301224, 20301225]
    with pytest.warns(UserWarning, match="column 'when': 1 of 2 rows have a text that is no date"):
        values = tuner.predict(tmp_path / "model", later)["value"]
    assert np.isfinite(values).all()


def test_a_file_is_written_at_once(
    label: tuple[Path, Any], frame: pd.DataFrame, tmp_path: Path
) -> None:
    frame.head(3).to_csv(tmp_path / "rows.csv", index=False)
    out = tmp_path / "out.csv"
    arguments = ["--model", str(label[0]), "--input", str(tmp_path / "rows.csv")]
    done = CliRunner().invoke(app, ["predict", *arguments, "--output", str(out)])
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"3 rows in {out}" in done.stderr
    assert len(pd.read_csv(out)) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "rows.csv"]


def test_a_text_alone_and_words_with_vectors(
    frame: pd.DataFrame, data: Any, trained: Any, again: Any, tmp_path: Path
) -> None:
    vectors = "".join(f"{word} {i} 0.5 -{i}\n" for i, word in enumerate(["good", "bad", "film"]))
    (tmp_path / "vectors.txt").write_text(vectors)
    about = {**data("text-cnn"), "vectors": str(tmp_path / "vectors.txt")}
    model = {"family": "text-cnn", "freeze_embeddings": True, "filters": 4}
    options = trained("words", data=about, model=model, training=SMALL)
    tuner.export("words", tmp_path / "model", options)
    trainer = again(options, "words")
    (tmp_path / "vectors.txt").unlink()
    texts = frame["text"].iloc[trainer.data.positions[1]]
    texts.to_frame().to_csv(tmp_path / "texts.csv", index=False)
    expected = outputs_of(trainer.network, trainer.data.validation.x).softmax(1).numpy()
    found = predicted(tmp_path / "model", tmp_path / "texts.csv")
    np.testing.assert_allclose(found.iloc[:, 1:], expected, atol=1e-6)


def test_arrays_by_name_by_place_and_from_an_archive(
    data: Any, trained: Any, tmp_path: Path
) -> None:
    options = trained("images", data=data("cnn"), model={"family": "cnn"}, training=SMALL)
    tuner.export("images", tmp_path / "model", options)
    digits = load_digits(as_frame=True)
    expected = tuner.predict(tmp_path / "model", digits.data.to_numpy()[:9])
    turned = digits.data.iloc[:9, ::-1].assign(other="x")
    pd.testing.assert_frame_equal(tuner.predict(tmp_path / "model", turned), expected)
    np.savez(tmp_path / "rows.npz", digits.images[:9, None])
    found = predicted(tmp_path / "model", tmp_path / "rows.npz")
    np.testing.assert_allclose(found.iloc[:, 1:], expected.iloc[:, 1:], atol=1e-9)
    with pytest.raises(tuner.TunerError, match="no column 'pixel_0_0'"):
        tuner.predict(tmp_path / "model", digits.data.iloc[:, 1:])
    with pytest.raises(tuner.TunerError, match=r"rows of shape \[63\], but the network takes"):
        tuner.predict(tmp_path / "model", digits.data.to_numpy()[:, 1:])


RETURNING = """\
import pandas as pd
from sklearn.datasets import load_digits
from torch.utils.data import TensorDataset, Subset
import torch

digits = load_digits(as_frame=True)
first = digits.data[:9]
rows = TensorDataset(torch.tensor(first.to_numpy()).reshape(9, 1, 8, 8), torch.arange(9))

def frame(): return first.assign(number=range(9))
def array(): return first.to_numpy()
def pair(): return first.to_numpy(), range(9)
def weighted(): return first, range(9), range(1, 10)
def bunch():
    digits.data = first.to_numpy()
    return digits
def dataset(): return rows
def parts(): return {"train": Subset(rows, range(2)), "test": rows}
def two(): return rows, rows
"""


@pytest.mark.parametrize(
    "name", ["frame", "array", "pair", "weighted", "bunch", "dataset", "parts"]
)
def test_what_a_function_returns(
    name: str, data: Any, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = trained("images", data=data("cnn"), model={"family": "cnn"}, training=SMALL)
    tuner.export("images", tmp_path / "model", options)
    expected = tuner.predict(tmp_path / "model", load_digits().data[:9])
    module = f"returning_{name}"
    (tmp_path / f"{module}.py").write_text(RETURNING)
    monkeypatch.chdir(tmp_path)
    keep = ["--keep", "number"] if name == "frame" else []
    found = predicted(tmp_path / "model", Path(f"{module}:{name}"), *keep)
    np.testing.assert_allclose(found.iloc[:, -10:], expected.iloc[:, 1:], atol=1e-9)
    assert (found.columns[0] == "number") == (name == "frame")


def test_a_function_that_returns_no_rows_to_predict(
    data: Any, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = trained("images", data=data("cnn"), model={"family": "cnn"}, training=SMALL)
    tuner.export("images", tmp_path / "model", options)
    (tmp_path / "returning_two.py").write_text(RETURNING)
    monkeypatch.chdir(tmp_path)
    for words, says in (
        ([], "returned Datasets for train, validation"),
        (["--keep", "number"], "no column 'number'"),
    ):
        given = ["--model", "model", "--input", "returning_two:two", *words]
        done = CliRunner().invoke(app, ["predict", *given])
        assert (done.exit_code, done.stdout) == (2, "")
        assert says in done.stderr
    done = CliRunner().invoke(app, ["predict", "--model", "model", "--input", "returning_no:two"])
    assert "no module 'returning_no'" in done.stderr


RAGGED = """\
import torch

class Set:
    def __len__(self): return 30
    def __getitem__(self, i): return torch.full((1 + i % 4,), i / 30), i % 2

def load(): return Set()
def pad(items):
    x = torch.zeros(len(items), 4)
    for row, (numbers, _) in zip(x, items): row[:len(numbers)] = numbers
    return x, [y for _, y in items]
def padded(): return pad([Set()[i] for i in range(30)])
"""


def test_the_collate_of_the_study_pads_what_is_predicted(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ragged_to_predict.py").write_text(RAGGED)
    monkeypatch.chdir(tmp_path)
    rows = {"source": "ragged_to_predict:load", "collate": "ragged_to_predict:pad"}
    options = trained("ragged", data=rows, training=SMALL)
    tuner.export("ragged", tmp_path / "model", options)
    found, expected = (
        predicted(tmp_path / "model", Path(f"ragged_to_predict:{name}"))
        for name in ("load", "padded")
    )
    pd.testing.assert_frame_equal(found, expected)
    (tmp_path / "ragged_to_predict.py").write_text(RAGGED.replace("def pad(", "def other("))
    monkeypatch.delitem(sys.modules, "ragged_to_predict")
    given = ["--model", "model", "--input", "ragged_to_predict:load"]
    done = CliRunner().invoke(app, ["predict", *given])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no function 'pad'" in done.stderr


OWN = """\
from torch import nn

def net(shape, outputs, width=8, inside=None):
    before = [layer((width,)) for layer in inside.before]
    return nn.Sequential(nn.Linear(shape[0], width), *before, nn.Tanh(), nn.Linear(width, outputs))
"""


def test_a_network_of_ones_own_predicts_without_its_code(tmp_path: Path, warm_tuner: Path) -> None:
    (tmp_path / "networks_of_a_test.py").write_text(OWN)
    (tmp_path / "own.toml").write_text(
        '[data]\nsource = "sklearn.datasets:load_wine"\n[model]\n'
        'family = "networks_of_a_test:net"\n[regularization]\nbatch_norm = true\n'
        "[training]\nepochs = 2\n[search]\ntrials = 1\n"
    )
    wine = load_wine(as_frame=True).data
    wine.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "elsewhere").mkdir()
    show = "import tuner; print(tuner.load('model'))"
    alone = (
        "import sys; sys.modules['tuner'] = None; import torch\n"
        "print(torch.export.load('model/program.pt2').module()(torch.zeros(3, 13)).shape)"
    )
    for command, folder in (
        (["optimize", "--study", "own.toml", "--workers", "1"], tmp_path),
        (["export", "--study", "own", "--out", "model"], tmp_path),
        (["predict", "--model", "model", "--input", "rows.csv", "--output", "one.csv"], tmp_path),
        (["predict", "--model", "../model", "--input", "../rows.csv"], tmp_path / "elsewhere"),
    ):
        done = subprocess.run([warm_tuner, *command], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    other = pd.read_csv(io.StringIO(done.stdout))
    pd.testing.assert_frame_equal(other, pd.read_csv(tmp_path / "one.csv"))
    shown = subprocess.run(
        [sys.executable, "-c", show], cwd=tmp_path, capture_output=True, text=True
    )
    assert "BatchNorm1d(8" in shown.stdout, shown.stderr
    (tmp_path / "networks_of_a_test.py").unlink()
    shown = subprocess.run(
        [sys.executable, "-c", alone], cwd=tmp_path, capture_output=True, text=True
    )
    assert "torch.Size([3, 3])" in shown.stdout, shown.stderr


def test_a_row_gets_the_same_prediction_in_any_company(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"zip": rng.choice(["007", "7", "A1", "1e3"], 60), "x": rng.random(60)})
    rows["y"] = np.where(rows["zip"] == "007", "yes", "no")
    rows.insert(0, "id", [f"{i:03}" for i in range(60)])
    rows.to_csv(tmp_path / "rows.csv.gz", index=False)
    options = trained(
        "zips",
        data={"path": str(tmp_path / "rows.csv.gz"), "target": "y", "drop": ["id"]},
        model={"family": "linear"},
        training={"epochs": 2},
    )
    tuner.export("zips", tmp_path / "model", options)
    expected = tuner.predict(tmp_path / "model", rows)
    monkeypatch.setattr("tuner.exports.inputs.CELLS", 4)
    monkeypatch.setattr("tuner.data.memory.ROWS", 1)
    monkeypatch.setattr("tuner.data.memory.CELLS", 4)  # a row at a time: all are 007, or numbers
    more = ("--keep", "id", "--output", str(tmp_path / "out.csv.gz"))
    command = ["predict", "--model", str(tmp_path / "model"), "--input"]
    done = CliRunner().invoke(app, [*command, str(tmp_path / "rows.csv.gz"), *more])
    assert done.exit_code == 0, done.stderr
    assert b"out.csv\0" in (tmp_path / "out.csv.gz").read_bytes()[:32]  # what gunzip -N names it
    found = pd.read_csv(tmp_path / "out.csv.gz", dtype={"id": str})
    assert found.pop("id").tolist() == rows["id"].tolist()
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-6)
    rows.to_parquet(tmp_path / "rows.parquet")
    found = predicted(tmp_path / "model", tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-6)


def test_images_in_every_form(trained: Any, tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (40, 1, 4, 6), dtype=np.uint8)
    labels = (pictures.mean((1, 2, 3)) > 127).astype(int)
    np.savez(tmp_path / "all.npz", pictures=pictures, labels=labels)
    data = {"path": str(tmp_path / "all.npz"), "features": "pictures", "target": "labels"}
    training = {"epochs": 1}
    options = trained("pictures", data=data, model={"family": "linear"}, training=training)
    model = tmp_path / "model"
    tuner.export("pictures", model, options)
    expected = tuner.predict(model, pictures)
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for i, picture in enumerate(pictures):
        name = f"deep/{i:02}.png" if i else "00.png"
        Image.fromarray(picture[0]).save(tmp_path / "folder" / name)
    header = b"\0\0\x08\x03" + np.array(pictures[:, 0].shape, dtype=">i4").tobytes()
    (tmp_path / "some-idx3-ubyte").write_bytes(header + pictures.tobytes())
    for name in ("all.npz", "some-idx3-ubyte", "folder"):
        found = predicted(model, tmp_path / name)
        if name == "folder":
            assert found.pop("file").tolist()[:2] == ["00.png", "deep/01.png"]
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-6)
    alone = predicted(model, tmp_path / "folder" / "deep" / "01.png")
    assert alone["file"].tolist() == ["01.png"]
    assert alone["class"].tolist() == expected["class"].tolist()[1:2]
    (tmp_path / "nothing").mkdir()
    Image.fromarray(pictures[0, 0].T).save(tmp_path / "turned.png")
    Image.new("RGB", (6, 4)).save(tmp_path / "red.png")
    command = ["predict", "--model", str(model), "--input"]
    for name, words in (
        ("nothing", "the folder holds no images"),
        ("turned.png", "4 x 6 pixels, but a row has shape [1, 4, 6]"),
        ("red.png", "6 x 4 pixels in colour, but a row has shape [1, 4, 6]"),
    ):
        done = CliRunner().invoke(app, [*command, str(tmp_path / name)])
        assert (done.exit_code, done.stdout) == (2, "")
        assert words in done.stderr


def test_images_are_resized_as_in_the_training(trained: Any, again: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(40):
        kind, size = ("dark", "light")[i % 2], (5 + i % 4, 6 + i % 3)
        (tmp_path / "all" / kind).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 128, size) + 100 * (i % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "all" / kind / f"{i:02}.png")
    data = {"path": str(tmp_path / "all"), "resize": [4, 6]}
    options = trained("resized", data=data, model={"family": "cnn"}, training={"epochs": 1})
    tuner.export("resized", tmp_path / "model", options)
    assert "are resized to 4 x 6 pixels, whole." in (tmp_path / "model" / CARD).read_text()
    trainer = again(options, "resized")
    outputs = outputs_of(trainer.network, trainer.data.validation.x).softmax(1)
    found = predicted(tmp_path / "model", tmp_path / "all")
    assert len(found) == 40
    chosen = found.iloc[trainer.data.positions[1]]  # in the order of classes and names, as these
    np.testing.assert_allclose(chosen.iloc[:, 2:], outputs.numpy(), atol=1e-6)


@pytest.fixture(scope="module")
def shop(place: Path, trained: Any) -> Path:
    """An export of a study of numbers that are text, of a switch and of a category, whose names and
    description hold signs of any plane."""
    rng = np.random.default_rng(0)
    price = rng.uniform(900, 9000, 90)
    table = pd.DataFrame(
        {"age": rng.integers(18, 80, 90), "price 😀": [f"${p:,.2f}" for p in price]}
    )
    table["member"] = rng.random(90) < 0.5
    table["member"] = table["member"].map({True: "TRUE", False: "FALSE"})
    table["town"] = rng.choice(["Ulm", "Bonn"], 90)
    table["y"] = np.where(table["member"] == "TRUE", "buys 🎉", "leaves")
    table.loc[[5, 50], "price 😀"] = "broken"
    table.to_csv(place / "shop.csv", index=False)
    data = {"path": str(place / "shop.csv"), "target": "y", "drop": []}
    options = trained("shop", data=data, model={"family": "linear"}, description="to the 🌕")
    tuner.export("shop", place / "shop", options)
    return place / "shop"


def asked(model: Path, text: str) -> Any:
    file = model.parent / "asked.csv"
    file.write_text(text, encoding="utf-8")
    return CliRunner().invoke(app, ["predict", "--model", str(model), "--input", str(file)])


HEADER = "age,price 😀,member,town\n"


def test_rows_are_read_as_those_of_the_training(shop: Path) -> None:
    done = asked(shop, HEADER + '30,"$1,200.00",TRUE,Ulm\n30,"$1,200.00",FALSE,Ulm\n')
    assert (done.exit_code, done.stderr) == (0, "")
    frame = pd.DataFrame({"age": [30, 30], "price 😀": [1200.0, 1200.0], "town": ["Ulm", "Ulm"]})
    frame["member"] = [1, 0]
    found = pd.read_csv(io.StringIO(done.stdout))
    pd.testing.assert_frame_equal(
        found, tuner.predict(shop, frame), check_dtype=False, rtol=1e-5, atol=1e-6
    )
    assert "🎉" in found.columns[1]
    assert "🌕" in (shop / "study.toml").read_text(encoding="utf-8")
    assert "🌕" in (shop / "README.md").read_text(encoding="utf-8")


def test_what_the_training_did_not_know_is_counted(shop: Path) -> None:
    rows = "30,?,1,Rom\n31,broken,0,Köln\n32,$5.00,maybe,Ulm\n"
    done = asked(shop, HEADER + rows)
    assert done.exit_code == 0
    said = done.stderr.splitlines()
    assert (
        "warning: column 'price 😀': 2 of 3 rows have a value that is not a number; it counts"
        in said[0]
    )
    assert "('?', 'broken')" in said[0]
    assert "column 'member': 1 of 3 rows have a word that is neither" in said[1]
    assert "column 'town': 2 of 3 rows have a category that the training rows do not" in said[2]
    assert "('Rom', 'Köln')" in said[2]
    with pytest.warns(UserWarning, match="column 'town': 1 of 1 rows have a category"):
        tuner.predict(
            shop, pd.DataFrame({"age": [1], "price 😀": ["$1"], "member": [1], "town": ["Rom"]})
        )


def test_limits_and_bare_amounts_are_numbers(shop: Path) -> None:
    done = asked(shop, HEADER + "<30,7,TRUE,Ulm\n30*,$7.00,TRUE,Ulm\n30,$7.00,TRUE,Ulm\n")
    assert done.exit_code == 0
    assert "column 'age': 2 of 3 rows have a limit or a footnote" in done.stderr
    assert len(set(done.stdout.splitlines()[1:])) == 1


def test_the_cell_that_is_wrong_is_named(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = '79,$5.00,TRUE,Ulm\n63,"1,5",TRUE,Ulm\nthirty,$7.00,TRUE,Ulm\n37,€5,TRUE,Ulm\n'
    done = asked(shop, HEADER + rows)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "column 'age' has 'thirty' in row 4 (the header is row 1)" in done.stderr
    assert "column 'price 😀' has '1,5' in row 3 (the header is row 1) (2 such rows)" in done.stderr
    assert "instead of a number in '$'" in done.stderr
    monkeypatch.setattr("tuner.data.memory.ROWS", 1)
    monkeypatch.setattr("tuner.data.memory.CELLS", 4)
    done = asked(shop, HEADER + "79,$5.00,TRUE,Ulm\n" * 7 + "old,$5.00,TRUE,Ulm\n")
    assert "column 'age' has 'old' in row 9 (the header is row 1)" in done.stderr
    done = asked(shop, HEADER + "79,$5.00,TRUE,Ulm\n" * 3 + "inf,$5.00,TRUE,Ulm\n")
    assert "the first is row 5 (the header is row 1), in column 'age'" in done.stderr


def test_a_table_is_predicted_in_one_thread(shop: Path) -> None:
    """So its predictions depend on no number of threads, and the caller keeps those."""
    predictor, threads = Predictor(shop), []
    predictor.network.register_forward_hook(lambda *_: threads.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    frame = pd.DataFrame({"age": [30], "price 😀": ["$7.00"], "member": ["TRUE"], "town": ["Ulm"]})
    try:
        predictor(frame, "rows")
        assert (threads, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)
