from __future__ import annotations

import copy
import json
import math
import tomllib
from collections import Counter
from pathlib import Path

import optuna
import pytest

from tuner.errors import DataError, StudyFileError, TunerError
from tuner.space import Choice, Leaf, Node, Option, Range, baseline_value, walk
from tuner.study import load_study
from tuner.study.catalogue import DATA_LEAVES, SECTIONS
from tuner.study.files import shipped
from tuner.study.parse import LARGEST, parse, plain, read_value
from tuner.study.record import fingerprint

DATA = {"source": "a:b"}


def nodes_of(study):
    return {node.name: node for node in walk(study.nodes)}


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_study_is_complete(name):
    study = load_study(name)
    assert study.name == name
    assert study.description
    sections = (*SECTIONS.values(), DATA_LEAVES)
    assert [n.name for n in study.nodes] == [x.name for s in sections for x in s]
    assert study.max_epochs <= 40


def test_digits_is_what_its_file_says():
    nodes = nodes_of(load_study("digits"))
    assert nodes["depth"].value == Range(1, 4)
    assert nodes["width"].value == Choice((32, 64, 128, 256))
    assert nodes["batch_norm"].value == Choice((True, False))
    assert nodes["dropout"].value == Range(0.05, 0.6, off=0.0)
    assert nodes["weight_decay"].value == Range(1e-6, 1e-1, log=True, off=0.0)
    assert nodes["learning_rate"].value == Range(1e-4, 1e-1, log=True)
    assert nodes["sgd.momentum"].value == Range(0.0, 0.99)
    assert nodes["polynomial.power"].value == Range(0.5, 3.0)
    assert nodes["epochs"].value == 30
    assert nodes["optimizer"].value.labels == ("adam", "rmsprop", "sgd")


def test_every_node_knows_its_place():
    paths = {node.name: node.path for node in walk(load_study("digits").nodes)}
    assert paths["dropout"] == "regularization.dropout"
    assert paths["depth"] == "model.depth"
    assert paths["mlp.activation"] == "model.family.mlp.activation"
    assert paths["sgd.momentum"] == "training.optimizer.choices[2].sgd.momentum"


def test_a_file_with_only_data_searches_the_standard_space(read):
    study = read("")
    searched = {name for name, node in nodes_of(study).items() if node.searched}
    assert searched == {
        "depth", "width", "batch_norm", "dropout", "weight_decay", "learning_rate", "lr_scheduler",
    }  # fmt: skip
    assert study.search.trials == 60
    assert (study.metric, study.description) == (None, "")
    assert read("[model]\n[regularization]").nodes == study.nodes


def test_a_file_with_only_a_text_searches_a_space_for_text():
    data = {"path": "a.csv", "target": "y", "text": "t"}
    found = nodes_of(parse("x", {"data": data}))
    assert found["family"].value.name == "text-cnn"
    searched = {name for name, node in found.items() if node.searched}
    assert {"window", "filters", "dropout", "learning_rate"} < searched
    fixed = parse("x", {"data": data, "training": {"epochs": 2}})
    assert [node.name for node in walk(fixed.nodes) if node.searched] == []
    assert nodes_of(fixed)["family"].value.name == "text-cnn"
    assert nodes_of(parse("x", {"data": data, "model": {"family": "mlp"}}))["mlp.depth"]


def test_a_file_with_a_section_searches_only_what_it_says(read):
    nodes = nodes_of(read("[training]\nepochs = 3"))
    assert not [name for name, node in nodes.items() if node.searched]
    for leaf in (leaf for section in SECTIONS.values() for leaf in section):
        value = nodes[leaf.name].value
        default = leaf.default if leaf.name != "epochs" else 3
        assert (value.name if isinstance(value, Option) else value) == default


def test_a_family_takes_leaves_beside_it_or_in_its_table(read):
    beside = nodes_of(read('[model]\nfamily = "cnn"\ndepth = { low = 1, high = 3 }'))
    assert beside["depth"].value == Range(1, 3)
    assert beside["cnn.channels"].value == 16
    within = nodes_of(read('[model]\nfamily = { name = "cnn", depth = { low = 1, high = 3 } }'))
    assert within["cnn.depth"].value == Range(1, 3)
    assert "depth" not in within


def test_families_of_a_choice_share_what_stands_beside_them(read):
    text = (
        '[model]\nfamily = { choices = ["linear", "mlp", { name = "cnn", depth = 2 }] }\ndepth = 3'
    )
    nodes = nodes_of(read(text))
    assert (nodes["depth"].value, nodes["cnn.depth"].value) == (3, 2)


def test_an_optimizer_may_have_its_own_learning_rate(read):
    text = """
    [training]
    learning_rate = 0.001
    optimizer = { choices = ["adam", { name = "sgd", learning_rate = { low = 0.01, high = 1.0 } }] }
    """
    nodes = nodes_of(read(text))
    assert nodes["sgd.learning_rate"].value == Range(0.01, 1.0)
    assert nodes["learning_rate"].value == 0.001
    assert "adam.learning_rate" not in nodes


def test_a_loss_may_be_a_choice_and_have_options(read):
    text = """
    [training]
    loss = { choices = ["auto", { name = "pinball", quantile = 0.4 }, "mine:rest",
      { name = "mine:focal", gamma = { low = 0.5, high = 5.0 }, mode = "soft" }] }
    """
    nodes = nodes_of(read(text))
    assert nodes["loss"].value.labels == ("auto", "pinball", "mine:rest", "mine:focal")
    assert nodes["pinball.quantile"].value == 0.4
    assert nodes["mine:focal.gamma"].value == Range(0.5, 5.0)
    assert nodes["mine:focal.mode"].value == "soft"
    assert baseline_value(nodes["loss"]) == "auto"
    assert nodes_of(read('[training]\nloss = "mine:focal"'))["loss"].value == Option("mine:focal")


def test_an_optimizer_and_a_schedule_may_be_ones_own(read):
    text = """
    [training]
    lr_scheduler = { choices = ["constant",
      { name = "mine:waves", count = { low = 1, high = 4 } }] }
    optimizer = { choices = ["adam", "mine:rest",
      { name = "mine:step", beta = { low = 0.5, high = 1 }, learning_rate = 0.1 }] }
    """
    nodes = nodes_of(read(text))
    assert nodes["lr_scheduler"].value.labels == ("constant", "mine:waves")
    assert nodes["mine:waves.count"].value == Range(1, 4)
    assert nodes["optimizer"].value.labels == ("adam", "mine:rest", "mine:step")
    assert nodes["mine:step.beta"].value == Range(0.5, 1.0)
    assert nodes["mine:step.learning_rate"].value == 0.1
    assert nodes["mine:step.learning_rate"].leaf.unit == "per step"
    assert "mine:rest.learning_rate" not in nodes
    assert baseline_value(nodes["optimizer"]) == "adam"


def test_a_sampler_of_rows_may_be_ones_own(read):
    text = """
    [training]
    sampling = { choices = ["shuffled", { name = "mine:rows", power = { low = 0.5, high = 2.0 } }] }
    """
    nodes = nodes_of(read(text))
    assert nodes["sampling"].value.labels == ("shuffled", "mine:rows")
    assert nodes["mine:rows.power"].value == Range(0.5, 2.0)
    assert baseline_value(nodes["sampling"]) == "shuffled"


@pytest.mark.parametrize(
    "optimizer",
    [
        '"adamw"',
        '{ name = "adamw", beta2 = { low = 0.9, high = 0.999 } }',
        '{ choices = ["sgd", "adamw"] }',
        '{ choices = ["sgd", { name = "adamw", beta2 = 0.95 }] }',
    ],
)
def test_adamw_is_adam_and_the_study_says_so(read, optimizer):
    search = '\n[search]\nenqueue = [{ optimizer = "adamw", learning_rate = 0.001 }]'
    study = read(f"[training]\noptimizer = {optimizer}{search}")
    assert study.config(study.fixed_params(1))["optimizer"] == "adam"
    assert study.document["training"]["optimizer"] != "adam"
    (warning,) = study.warnings()
    assert warning.startswith("training.optimizer: adamw stands for adam; its decay is regulari")
    usual = read(f"[training]\noptimizer = {optimizer.replace('adamw', 'adam')}")
    assert (usual.nodes, usual.warnings()) == (study.nodes, ())


@pytest.mark.parametrize("rate", ["6.0", "{ off = 1.0, low = 2.0, high = 10.0 }"])
def test_a_rate_of_scales_that_no_network_has(read, rate):
    training = f"[training]\nscale_rate = {rate}\n"
    (warning,) = read(training).warnings()
    assert warning == "training.scale_rate: has no effect without model.input_scale = true"
    for scale in ("true", "{ choices = [true, false] }"):
        assert read(f"{training}[model]\ninput_scale = {scale}").warnings() == ()
    assert read("[training]\nscale_rate = 1.0").warnings() == ()


def test_stochastic_depth_without_residual_branches(read):
    on = "[regularization]\nstochastic_depth = 0.3\n"
    (warning,) = read(on).warnings()
    assert warning == "regularization.stochastic_depth: has no effect without model.residual = true"
    for model in ("residual = true", "residual = { choices = [true, false] }"):
        assert read(f"{on}[model]\n{model}").warnings() == ()
    assert len(read(f'{on}[model]\nfamily = "linear"').warnings()) == 1
    assert read(f'{on}[model]\nfamily = "transformer"').warnings() == ()
    assert read("[regularization]\nstochastic_depth = 0.0").warnings() == ()


def test_adamw_beside_adam_is_the_same_twice(read):
    with pytest.raises(StudyFileError, match="found 'adam' twice"):
        read('[training]\noptimizer = { choices = ["adam", "adamw"] }')


def test_the_document_is_a_copy():
    document = {"data": dict(DATA), "model": {"width": {"choices": [8, 16]}}}
    study = parse("x", document)
    before = copy.deepcopy(study.document)
    document["model"]["width"]["choices"].append(32)
    assert study.document == before


BAD = [
    ("lose = 3", "lose", "unknown key", "known: data, description"),
    ("loss = 3", "loss", "unknown key", "it stands in [training]"),
    ("epochs = 3", "epochs", "unknown key", "it stands in [training] and [search]"),
    ("dat = 3", "dat", "unknown key", "did you mean 'data'?"),
    ("description = 3", "description", "found 3, which is not a string", ""),
    (
        'metric = { name = "pinball", quantil = 0.9 }',
        "metric.quantil",
        "pinball has no option 'quantil'",
        "did you mean 'quantile'?",
    ),
    (
        'metric = { name = "pinball", quantile = 1.0 }',
        "metric.quantile",
        "found 1.0, which is not a number between 0 and 1 (bounds excluded)",
        "share of the targets",
    ),
    (
        'metric = { name = "top_k_accuracy", k = 1 }',
        "metric.k",
        "found 1, which is not a whole number of at least 2",
        "so many predictions",
    ),
    (
        'metric = { name = "mae", k = 3 }',
        "metric.k",
        "mae has no option 'k'",
        "mae has no options",
    ),
    (
        "metric = { quantile = 0.5 }",
        "metric",
        "found {'quantile': 0.5}, which is not a name or a table with a name",
        "for example metric",
    ),
    (
        'metric = "mine:score"',
        "direction",
        "the study has no direction",
        'give the direction of the metric\'s value: direction = "maximize" or direction = "min',
    ),
    ('metric = "mine:"\ndirection = "maximize"', "metric", "'mine:' is not module:function", ""),
    (
        'metric = { name = "mine:score", weights = [1, 2] }\ndirection = "maximize"',
        "metric.weights",
        "found [1, 2], which is not an option",
        "",
    ),
    (
        'metric = "f1"\ndirection = "maximize"',
        "direction",
        "the metric has a fixed direction",
        "remove it; it belongs to metric or objective",
    ),
    (
        '[training]\nloss = "pinbal"',
        "training.loss",
        "unknown loss 'pinbal'",
        "did you mean 'pinball'?",
    ),
    (
        '[training]\nloss = { name = "pinball", quantile = 2.0 }',
        "training.loss.pinball.quantile",
        "found 2.0, which is not a number between 0 and 1",
        "share of the targets",
    ),
    ('[training]\nloss = "mine:"', "training.loss", "'mine:' is not module:function", ""),
    (
        '[training]\nloss = { name = "mine:loss", gamma = [1] }',
        "training.loss.mine:loss.gamma",
        "found [1]",
        "allowed: numbers, strings",
    ),
    ('[training]\noptimizer = "mine"', "training.optimizer", "unknown optimizer 'mine'", "did you"),
    ('[training]\noptimizer = "a b:c"', "training.optimizer", "'a b:c' is not module:function", ""),
    ('[training]\nlr_scheduler = ":c"', "training.lr_scheduler", "':c' is not module:function", ""),
    (
        '[training]\noptimizer = { name = "mine:step", learning_rate = -1.0 }',
        "training.optimizer.mine:step.learning_rate",
        "found -1.0, which is not a number above 0",
        "step size",
    ),
    (
        '[training]\noptimizer = { name = "mine:step", state = 2 }',
        "training.optimizer.mine:step.state",
        "is an argument that tuner passes to the function",
        "",
    ),
    (
        '[training]\nlr_scheduler = { name = "mine:waves", progress = 0.5 }',
        "training.lr_scheduler.mine:waves.progress",
        "is an argument that tuner passes to the function",
        "",
    ),
    ("metric = true", "metric", "found true, which is not a name", ""),
    ('metric = "acuracy"', "metric", "unknown metric 'acuracy'", "did you mean 'accuracy'?"),
    ('metric = ""', "metric", "unknown metric ''", "known: accuracy"),
    ("model = 3", "model", "found 3, which is not a table", ""),
    ("search = []", "search", "found [], which is not a table", ""),
    ("[data]", "data", "neither source nor path given", "give one"),
    ('[data]\nsource = "a:b"\nmetric = "mse"', "data.metric", "unknown key", "it stands at the"),
    ("[model]\nwdth = 3", "model.wdth", "unknown key", "did you mean 'width'?"),
    ("[model]\ndropout = 0.1", "model.dropout", "unknown key", "it stands in [regularization]"),
    ("[regularization]\ndropot = 0.1", "regularization.dropot", "unknown key", "did you mean"),
    ("[training]\nepoch = 3", "training.epoch", "unknown key", "did you mean 'epochs'?"),
    ("[training]\ntrials = 3", "training.trials", "unknown key", "it stands in [search]"),
    ("[search]\ntrial = 3", "search.trial", "unknown key", "did you mean 'trials'?"),
    ('[model]\nfamily = "mpl"', "model.family", "unknown family 'mpl'", "did you mean 'mlp'?"),
    (
        '[model]\nfamily = "cnn"\nwidth = 3',
        "model.width",
        "no family of this study has this parameter, or each has its own in its table",
        "width belongs to mlp",
    ),
    (
        '[model]\nfamily = { name = "mlp", width = 3 }\nwidth = 3',
        "model.width",
        "no family of this study has this parameter, or each has its own in its table",
        "width belongs to mlp",
    ),
    (
        "[training]\noptimizer = { choices = ['adam', { name = 'sgd', momentm = 0.5 }] }",
        "training.optimizer.choices[1].sgd.momentm",
        "unknown key",
        "did you mean 'momentum'?",
    ),
    (
        "[regularization]\ndropout = { low = 'x', high = 0.5 }",
        "regularization.dropout.low",
        "found 'x', which is not a number between 0 and 0.95",
        "",
    ),
    ("[training]\nepochs = 2.5", "training.epochs", "found 2.5, which is not a whole number", ""),
    ("[training]\nlearning_rate = nan", "training.learning_rate", "found nan, which is not", ""),
    (
        "[training]\nlearning_rate = { low = 0.1, high = inf }",
        "training.learning_rate.high",
        "found inf, which is not a finite number",
        "",
    ),
    (
        "[training]\nepochs = 99999999999999999999",
        "training.epochs",
        "found a whole number of 67 bits, which is too large",
        "allowed: up to 9007199254740992",
    ),
    (
        "[training]\nepochs = 1979-05-27",
        "training.epochs",
        "found datetime.date(1979, 5, 27), which a study cannot hold",
        "allowed: a string",
    ),
    (
        "[search]\npruner = { name = 'hyperband', min_resource = 50 }",
        "search.pruner.min_resource",
        "min_resource 50 is more than max_resource 30",
        "max_resource is training.epochs",
    ),
]


@pytest.mark.parametrize(("text", "where", "what", "hint"), BAD)
def test_a_mistake_is_named_with_its_place(text, where, what, hint):
    document = tomllib.loads(text)
    with pytest.raises((StudyFileError, DataError)) as caught:
        parse("x", {"data": DATA, **document})
    error = caught.value
    assert error.where == where
    assert error.message.startswith(what)
    assert error.hint.startswith(hint)
    assert error.exit_code == 2


def test_data_is_the_one_thing_that_must_be_said():
    with pytest.raises(StudyFileError, match=r"^data: the study has no data section"):
        parse("x", {})


@pytest.mark.parametrize("document", [None, 3, [], "data"])
def test_a_document_is_a_table(document):
    with pytest.raises(StudyFileError):
        parse("x", document)


ODD = [
    None, True, False, 0, 1, -1, 2.5, -0.0, 10**30, 10**5000, 2**53, math.nan, math.inf, 1e308,
    5e-324, "", "x", "x" * 5000, "\ud800", "adam", b"x", {}, [], [[]], [[1, [2]]], [None], {1: 2},
    {"": 1}, {"name": "sgd"}, {"name": None}, {"low": 1}, {"low": 1, "high": 2},
    {"low": 0.1, "high": 0.2, "step": 1e-308}, {"low": 1, "high": 2**53, "log": True},
    {"choices": {}}, {"choices": [{}]}, {"choices": [1, "x", None]}, {"choices": [True, 1]},
    Path("x"), object, Range(2, 1), Choice(()), Option("adam"),
]  # fmt: skip


RANDOM = optuna.samplers.RandomSampler(seed=0)


def places(value, path=()):
    """The path of every table, list and leaf of a document."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    if isinstance(value, list):
        for index in range(len(value)):
            yield from places(value[index], (*path, index))


def replaced(value, path, new):
    """A copy of a document with something else at one place."""
    if not path:
        return new
    copied = value.copy()
    copied[path[0]] = replaced(value[path[0]], path[1:], new)
    return copied


@pytest.mark.parametrize("name", shipped())
def test_whatever_stands_anywhere_it_parses_or_is_refused_as_a_mistake(name):
    document = dict(load_study(name).document)
    document["search"] = {
        **document["search"],
        "baseline": {"dropout": 0.0},
        "enqueue": [{"dropout": 0.2}],
        "timeout": "10m",
        "sampler": {"name": "random"},
        "pruner": {"name": "asha", "reduction_factor": 3},
    }
    mutants = [replaced(document, path, odd) for path in places(document) for odd in ODD]
    codes = Counter(outcome(name, mutant) for mutant in mutants)
    assert codes.keys() == {0, 2}
    assert min(codes.values()) > 50


def outcome(name, document):
    """The exit code of parsing; a study that was accepted is used: sampled and fingerprinted."""
    try:
        study = parse(name, document)
    except TunerError as error:
        return error.exit_code if str(error) else -1
    assert study.config(study.baseline())
    assert fingerprint(study.document)
    trial = optuna.create_study(sampler=RANDOM).ask()
    config = study.sample(trial)
    assert study.config(trial.params) == config
    return 0


# A study file as plain JSON values.


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Range(1, 4), {"low": 1, "high": 4}),
        (Range(0.1, 0.5, off=0.0), {"low": 0.1, "high": 0.5, "off": 0.0}),
        (Range(0.1, 1.0, log=True), {"low": 0.1, "high": 1.0, "log": True}),
        (Range(0.1, 0.5, step=0.1), {"low": 0.1, "high": 0.5, "step": 0.1}),
        (Choice((True, False)), {"choices": [True, False]}),
        (Choice(("adam", Option("sgd"))), {"choices": ["adam", {"name": "sgd"}]}),
        (
            {"choices": ("a", {"name": "b", "c": Range(1, 2)})},
            {"choices": ["a", {"name": "b", "c": {"low": 1, "high": 2}}]},
        ),
        (LARGEST, LARGEST),
    ],
)
def test_objects_become_what_a_file_would_say(value, expected):
    assert plain(value) == expected
    assert json.loads(json.dumps(plain(value))) == expected


def test_an_option_that_was_parsed_becomes_its_table_again():
    (choice,) = (n.value for n in load_study("digits").nodes if n.name == "optimizer")
    table = plain(choice)["choices"][2]
    assert table == {"name": "sgd", "momentum": {"low": 0.0, "high": 0.99}, "nesterov": False}


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "found None, which a study cannot hold"),
        (object, "found <class 'object'>, which a study cannot hold"),
        (b"x", "found b'x', which a study cannot hold"),
        ({1, 2}, "found {1, 2}, which a study cannot hold"),
        (math.nan, "found nan, which is not a finite number"),
        (-math.inf, "found -inf, which is not a finite number"),
        (LARGEST + 1, "found a whole number of 54 bits, which is too large"),
        pytest.param(
            -(10**5000), "found a whole number of 16610 bits, which is too large", id="huge"
        ),
        ("\ud800", r"found '\ud800', which is not Unicode text"),
        ({1: 2}, "found 1 as a key, not a string"),
    ],
)
def test_nothing_else_is_let_in(value, what):
    with pytest.raises(StudyFileError) as caught:
        plain({"a": [0, value]})
    assert (caught.value.where, caught.value.message) == ("a[1]", what)


@pytest.mark.parametrize("name", ["", " ", "\u3000"])
def test_a_name_is_not_empty(name):
    with pytest.raises(StudyFileError, match="holds no letter"):
        parse(name, {"data": {"source": "sklearn.datasets:load_iris"}})


def test_what_holds_itself_is_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(StudyFileError, match="nested too deeply"):
        plain({"a": endless})


@pytest.mark.parametrize("name", ["a\nb", "a\r", "\x1b[2J", "a\x00", "a\u2028b", "a\x85", "\ud800"])
def test_a_name_is_one_line_of_text(name):
    with pytest.raises(StudyFileError, match="a line break or a control character"):
        parse(name, {"data": {"source": "a:b"}})


@pytest.mark.parametrize("name", ["my study", "digits:confirm", "Größe-2 ``x``", "نمی\u200cخواهم"])
def test_any_other_name_is_taken(name):
    assert parse(name, {"data": {"source": "a:b"}}).name == name


# One parameter of a study file.


RATE = Leaf("rate", float, 0.1, minimum=0.0, maximum=1.0, off=0.0)
WIDTH = Leaf("width", int, 64, minimum=1, maximum=512)
NORM = Leaf("norm", bool, False, off=False)
POWER = Leaf("power", float, 1.0, minimum=0.0, maximum=10.0)
STEPPED = Leaf("learning_rate", float, 0.01, above=0.0)
KIND = Leaf("kind", str, "a", options={"a": (), "poly": (POWER, STEPPED), "net": (WIDTH,)})


@pytest.mark.parametrize(
    ("leaf", "raw", "value"),
    [
        (RATE, 1, 1.0),
        (WIDTH, 8, 8),
        (NORM, True, True),
        (RATE, {"low": 0, "high": 1}, Range(0.0, 1.0)),
        (RATE, {"low": 0.1, "high": 1, "log": True}, Range(0.1, 1.0, log=True)),
        (RATE, {"low": 0.1, "high": 0.5, "step": 0.2}, Range(0.1, 0.5, step=0.2)),
        (RATE, {"low": 0.1, "high": 0.4, "step": 0.2}, Range(0.1, 0.3, step=0.2)),
        (RATE, {"low": 0.1, "high": 0.5, "off": 0}, Range(0.1, 0.5, off=0.0)),
        (RATE, {"low": 0.5, "high": 0.5, "off": 0.0}, Range(0.5, 0.5, off=0.0)),
        (WIDTH, {"low": 1, "high": 9}, Range(1, 9)),
        (WIDTH, {"low": 1, "high": 9, "log": True}, Range(1, 9, log=True)),
        (WIDTH, {"low": 8, "high": 30, "step": 8}, Range(8, 24, step=8)),
        (WIDTH, {"choices": [8, 16]}, Choice((8, 16))),
        (NORM, {"choices": [True, False]}, Choice((True, False))),
        (RATE, {"choices": [0, 0.5]}, Choice((0.0, 0.5))),
        (KIND, "a", Option("a")),
        (KIND, {"name": "a"}, Option("a")),
        (KIND, {"choices": ["a", {"name": "a"}][:1]}, Choice((Option("a"),))),
    ],
)
def test_what_a_leaf_may_say(leaf, raw, value):
    read = read_value("here", leaf, raw)
    assert read == value
    assert type(read) is type(value)
    if isinstance(value, Range):
        assert (type(read.low), type(read.high)) == (leaf.kind, leaf.kind)
        assert type(read.step) in (leaf.kind, type(None))


def test_an_option_has_its_leaves_under_its_own_name():
    span = {"low": 0.5, "high": 3.0}
    assert read_value("here", KIND, {"name": "poly", "power": span}) == Option(
        "poly", (Node("poly.power", POWER, Range(0.5, 3.0)),)
    )
    assert read_value("here", KIND, "poly").nodes == (Node("poly.power", POWER, 1.0),)


def test_an_own_learning_rate_is_there_only_where_the_table_names_it():
    option = read_value("here", KIND, {"name": "poly", "learning_rate": 0.5})
    assert [(n.name, n.value) for n in option.nodes] == [
        ("poly.power", 1.0),
        ("poly.learning_rate", 0.5),
    ]


def test_a_leaf_beside_keeps_its_name_and_the_own_table_wins():
    beside = {"width": {"low": 1, "high": 9}}
    (shared,) = read_value("model.kind", KIND, "net", beside).nodes
    assert (shared.name, shared.value, shared.path) == ("width", Range(1, 9), "model.width")
    (own,) = read_value("model.kind", KIND, {"name": "net", "width": 3}, beside).nodes
    assert (own.name, own.value, own.path) == ("net.width", 3, "model.kind.net.width")


WRONG = [
    (RATE, "x", "here", "found 'x', which is not a number between 0 and 1"),
    (RATE, True, "here", "found true, which is not a number between 0 and 1"),
    (RATE, 1.5, "here", "found 1.5, which is not a number between 0 and 1"),
    (RATE, [0.5], "here", "found [0.5], which is not a number between 0 and 1"),
    (RATE, {}, "here", "found {}, a range without low"),
    (RATE, {"off": 0.0}, "here", "found {'off': 0.0}, a range without low"),
    (RATE, {"low": 0.1}, "here", "found {'low': 0.1}, a range without high"),
    (RATE, {"low": "x", "high": 1}, "here.low", "found 'x', which is not a number between 0 and 1"),
    (RATE, {"low": 0, "high": 2}, "here.high", "found 2, which is not a number between 0 and 1"),
    (RATE, {"low": 0.5, "high": 0.1}, "here", "low = 0.5 is above high = 0.1"),
    (
        RATE,
        {"low": 0, "high": 1, "log": True},
        "here",
        "found low = 0.0, but a log range is above 0",
    ),
    (RATE, {"low": 0, "high": 1, "log": 1}, "here.log", "found 1, which is not true or false"),
    (
        RATE,
        {"low": 0.1, "high": 1, "log": True, "step": 0.1},
        "here",
        "log and step exclude each other",
    ),
    (RATE, {"low": 0, "high": 1, "step": 0}, "here.step", "found 0, which is not a number above 0"),
    (
        RATE,
        {"low": 0, "high": 1, "step": True},
        "here.step",
        "found true, which is not a number above 0",
    ),
    (
        RATE,
        {"low": 0, "high": 1, "step": 2},
        "here.step",
        "found 2, which is more than from 0.0 to 1.0",
    ),
    (
        RATE,
        {"low": 0, "high": 1, "step": 1e-300},
        "here.step",
        "found 1e-300, which makes more than 1000000 values",
    ),
    (
        RATE,
        {"low": 0.5, "high": 1, "off": 0.1},
        "here.off",
        "found 0.1, but rate is off at 0.0",
    ),
    (
        RATE,
        {"low": 0.5, "high": 1, "off": False},
        "here.off",
        "found false, but rate is off at 0.0",
    ),
    (RATE, {"low": 0, "high": 1, "off": 0}, "here", "off = 0 lies within 0.0 to 1.0"),
    (WIDTH, {"low": 1, "high": 9, "off": 1}, "here.off", "found 1, but width cannot be switched"),
    (WIDTH, 2.0, "here", "found 2.0, which is not a whole number between 1 and 512"),
    (WIDTH, {"low": 1, "high": 2.5}, "here.high", "found 2.5, which is not a whole number"),
    (
        WIDTH,
        {"low": 1, "high": 9, "step": 0.5},
        "here.step",
        "found 0.5, which is not a whole number above 0",
    ),
    (NORM, 1, "here", "found 1, which is not true or false"),
    (NORM, "true", "here", "found 'true', which is not true or false"),
    (NORM, {"low": 0, "high": 1}, "here", "found {'low': 0, 'high': 1}, which is not true or"),
    (WIDTH, {"choices": []}, "here.choices", "found [], which leaves nothing to choose"),
    (WIDTH, {"choices": 3}, "here.choices", "found 3, which is not a list"),
    (WIDTH, {"choices": "34"}, "here.choices", "found '34', which is not a list"),
    (WIDTH, {"choices": [3, 4, 3]}, "here.choices", "found 3 twice"),
    (RATE, {"choices": [1, 1.0]}, "here.choices", "found 1.0 twice"),
    (KIND, {"choices": ["a", {"name": "a"}]}, "here.choices", "found 'a' twice"),
    (WIDTH, {"choices": [3, True]}, "here.choices[1]", "found true, which is not a whole number"),
    (WIDTH, {"choices": [3, [4]]}, "here.choices[1]", "found [4], which is not a whole number"),
    (WIDTH, {"choices": [{"low": 1, "high": 2}]}, "here.choices[0]", "found {'low': 1, 'high': 2}"),
    (KIND, 3, "here", "found 3, which is not one of a, poly, net"),
    (KIND, {}, "here", "found {}, which has no name"),
    (KIND, {"power": 1}, "here", "found {'power': 1}, which has no name"),
    (KIND, {"low": 1, "high": 2}, "here", "found {'low': 1, 'high': 2}, which has no name"),
    (KIND, {"name": 3}, "here", "found 3, which is not one of a, poly, net"),
    (KIND, {"name": ["a"]}, "here", "found ['a'], which is not one of a, poly, net"),
    (KIND, {"name": "poly", "power": True}, "here.poly.power", "found true, which is not a number"),
    (
        KIND,
        {"choices": ["a", {"name": "poly", "power": {"low": 2, "high": 1}}]},
        "here.choices[1].poly.power",
        "low = 2.0 is above high = 1.0",
    ),
]


@pytest.mark.parametrize(("leaf", "raw", "where", "what"), WRONG)
def test_a_wrong_value_is_named_with_its_place(leaf, raw, where, what):
    with pytest.raises(StudyFileError) as caught:
        read_value("here", leaf, raw)
    assert caught.value.where == where
    assert caught.value.message.startswith(what)


@pytest.mark.parametrize(
    ("leaf", "raw", "where", "hint"),
    [
        (KIND, "ploy", "here", "did you mean 'poly'? known: a, net, poly"),
        (KIND, {"choices": ["a", "ploy"]}, "here.choices[1]", "did you mean 'poly'?"),
        (KIND, {"name": "poly", "powr": 2}, "here.poly.powr", "did you mean 'power'?"),
        (KIND, {"name": "a", "power": 2}, "here.a.power", "nothing is allowed here"),
        (KIND, {"name": "a", "choices": ["a"]}, "here.name", "known: choices"),
        (RATE, {"low": 0.1, "hihg": 1}, "here.hihg", "did you mean 'high'?"),
        (WIDTH, {"choice": [1, 2]}, "here.choice", "did you mean 'choices'?"),
    ],
)
def test_an_unknown_name_comes_with_the_nearest(leaf, raw, where, hint):
    with pytest.raises(StudyFileError, match="unknown") as caught:
        read_value("here", leaf, raw)
    assert caught.value.where == where
    assert caught.value.hint.startswith(hint)
