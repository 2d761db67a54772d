"""The best configuration as a snippet of a study file."""

from __future__ import annotations

import tomllib

import pytest

from tuner.show.best import ATTRIBUTES, snippet, view
from tuner.study import load_study
from tuner.study.catalogue import SECTIONS
from tuner.study.files import shipped
from tuner.study.parse import parse
from tuner.training.network import plan

TRIED = {"optimizer": "sgd", "lr_scheduler": "polynomial", "dropout": 0.123456789012345}


def pasted(text: str):
    return parse("pasted", {**tomllib.loads(text), "data": {"source": "a:b"}})


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_pasted_snippet_trains_the_same(name: str) -> None:
    study = load_study(name)
    config = study.config(study.baseline())
    found = pasted(snippet(config))
    assert not any(node.searched for node in found.nodes)
    assert plan(found.config({})) == plan(config)


def test_options_carry_their_leaves_and_numbers_their_digits() -> None:
    study = load_study("digits")
    params = {
        **study.baseline(),
        "optimizer": "sgd",
        "sgd.momentum": 0.1234567890123456,
        "lr_scheduler": "polynomial",
        "polynomial.power": 1e-05 + 0.5,
        "dropout.on": True,
        "dropout": 1 / 3,
    }
    config = study.config(params)
    text = snippet(config)
    assert 'optimizer = { name = "sgd", momentum = 0.1234567890123456, nesterov = false }' in text
    assert "weight_decay" not in text  # it is off
    assert plan(pasted(text).config({})) == plan(config)


def test_leaves_in_a_family_s_own_table() -> None:
    study = load_study("diabetes")
    params = {**study.baseline(), "family": "mlp", "mlp.depth": 3, "mlp.width": 16}
    config = study.config(params)
    assert plan(pasted(snippet(config)).config({})) == plan(config)


def test_view_is_toml_as_a_whole() -> None:
    best = {
        "study": "digits",
        "metric": "accuracy",
        "number": 17,
        "value": 0.9806,
        "baseline": {"number": 0, "value": 0.9556},
        "epochs": 30,
        "seconds": 65.0,
        "seed": 7,
        "parameters": 8970,
        "train_loss": 0.01,
        "validation_loss": None,
        "device": "cpu",
        "toml": '[model]\nfamily = "mlp"\n',
    }
    text = view(best)
    assert tomllib.loads(text) == {"model": {"family": "mlp"}}
    assert "# accuracy    0.9806 on the validation split" in text
    assert "# baseline    0.9556 (trial 0), +0.0250" in text
    assert "# seconds     1 min 5 s" in text
    assert "validation loss" not in text
    assert "baseline" not in view({**best, "baseline": None})
    assert "# model" not in text


def test_view_shows_the_models_mean_beside_the_value() -> None:
    best = dict.fromkeys(ATTRIBUTES) | {"study": "digits", "metric": "accuracy", "number": 17}
    best |= {"value": 0.9806, "baseline": None, "toml": ""}
    best["model"] = {"mean": 0.9721, "sd": 0.0042, "low": 0.964, "high": 0.98}
    lines = view(best).splitlines()
    assert lines[2:4] == [
        "# accuracy  0.9806 on the validation split",
        "# model     0.9721 (standard deviation 0.0042), expected by a model of the trials",
    ]


def test_the_snippet_says_what_was_done_with_the_data() -> None:
    config = {leaf.name: leaf.default for leaves in SECTIONS.values() for leaf in leaves}
    assert "[data]" not in snippet({**config, "preprocessing": "standard"})
    found = snippet({**config, "preprocessing": "quantile"})
    assert found.endswith('[data]\npreprocessing = "quantile"\n')
