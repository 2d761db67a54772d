"""What the README, the pages of docs/ and CONTRIBUTING.md show runs, and what they name exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer

import tuner
from tuner.cli import app
from tuner.losses import LOSSES
from tuner.metrics import METRICS
from tuner.storage import open_storage

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))
}
DOCUMENTS = "\n".join((README, *PAGES.values()))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("TUNER_")},
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}
Warm = Callable[..., str]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group
LAYERS = re.compile(r"^\| ((?:`[\w/]+`(?:, )?)+) \|", re.M)
PATH = re.compile(r"`((?:tuner|tests|studies|\.ci)/[\w./]*|[\w-]+\.(?:toml|txt|md))`")


def blocks(language: str) -> list[str]:
    """The code blocks of a language, each once: those of the README, then those of the pages."""
    return list(dict.fromkeys(re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENTS, re.M | re.S)))


def block(language: str, part: str) -> str:
    """The one code block of a language that has a part."""
    (found,) = (text for text in blocks(language) if part in text)
    return found


def run(*command: str, folder: Path, tuner: Path | None = None) -> str:
    """What a command that has to succeed says on both streams; `tuner` is the installed one."""
    path = ENVIRONMENT["PATH"] if tuner is None else f"{tuner.parent}:{ENVIRONMENT['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**ENVIRONMENT, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout
    return done.stdout


@pytest.fixture
def warm(tmp_path: Path, warm_tuner: Path) -> Warm:
    """The same, with a `tuner` that has done its imports: most of these commands' seconds."""
    return partial(run, folder=tmp_path, tuner=warm_tuner)


def shapes(text: str) -> set[str]:
    """The lines of a text with `#` for each number and one blank for many."""
    return {" ".join(re.sub(r"\d[\d.]*", "#", line).split()) for line in text.splitlines()}


TESTED = {
    "text": ("$ tuner optimize",),
    "bash": (
        "pip install -q -c constraints.txt . ",
        "pytest -n 2",
        "wines.csv', index",
        "tuner init wines",
        "tuner techniques\n",
        "tuner submit",
        "tuner ablate",
        "tuner predict --model model --input rows.csv",
        "tuner db upgrade",
    ),
    "toml": (
        "choices = [16, 32, 64]",
        "sales.parquet",
        "pictures:load",
        "networks:net",
        "measures:cost",
        "forests:",
        "nets:",
        "weather:",
    ),
    "python": (
        "define_study(",
        "class Pictures",
        "def net(",
        "def cost(",
        "ExtraTreesClassifier",
        "torch.save(",
        "import lightning",
        "def days(",
    ),
}
"""A part of each block that a test of this module runs."""


@pytest.mark.parametrize("language", TESTED)
def test_every_block_is_one_that_is_tested_here(language: str) -> None:
    assert {block(language, part) for part in TESTED[language]} == set(blocks(language))
    assert set(re.findall(r"^```(\w+)$", DOCUMENTS, re.M)) == TESTED.keys()
    assert all(text.count("```") % 2 == 0 for text in (README, *PAGES.values()))


def test_the_readme_is_a_front_page_that_leads_to_every_page() -> None:
    assert len(README.splitlines()) <= 150
    named = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for name in PAGES:
        assert name in named
        assert f"docs/{name}" in README or name == "reference.md"


def test_the_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    run(
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--site-dir",
        str(tmp_path / "site"),
        folder=ROOT,
    )
    built = (tmp_path / "site" / "reference" / "index.html").read_text(encoding="utf-8")
    for name in tuner.__all__:
        assert name == "__version__" or f'id="tuner.{name}"' in built
    hosts = set(re.findall(r'(?:src|href)="(https?://[^/"]+)', built))
    assert hosts <= {"https://squidfunk.github.io"}  # that made the pages' theme, at the foot


def test_the_five_commands_of_the_start_lead_to_predictions(tmp_path: Path, warm: Warm) -> None:
    few = ("env", "TUNER_TOP=1", "TUNER_SEEDS=2", "TUNER_TRIALS=1")
    table, commands = block("bash", "wines.csv', index"), block("bash", "tuner init wines")
    assert commands.count("tuner ") == 5
    warm("bash", "-euxo", "pipefail", "-c", table)
    warm(*few, "bash", "-euxo", "pipefail", "-c", commands.replace(" --budget 1m", ""))
    lines = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("class,probability ")
    assert len(lines) == 1 + 178


def test_the_commands_run_and_the_picture_is_what_they_print(tmp_path: Path, warm: Warm) -> None:
    said = warm("bash", "-euxo", "pipefail", "-c", block("bash", "tuner techniques\n"))
    (picture,) = blocks("text")
    drawn = {line for line in shapes(picture) if line[:1] not in ("", "$", "…")}
    assert len(drawn) == 6
    unsure = {line for line in drawn if "pruned at epoch" in line}  # four trials may have none
    assert drawn - unsure <= shapes(said)
    assert "trial 0: recorded" in said
    assert "the same" in said


def test_the_commands_for_workers_run(tmp_path: Path, warm: Warm) -> None:
    said = warm("bash", "-euxo", "pipefail", "-c", block("bash", "tuner submit"))
    assert "serving breast-cancer" in said
    assert (tmp_path / "team.db").exists()
    assert not (tmp_path / "tuner.db").exists()


def test_the_commands_for_answers_run(tmp_path: Path, warm: Warm) -> None:
    said = warm("bash", "-euxo", "pipefail", "-c", block("bash", "tuner ablate"))
    said = " ".join(said.split())  # lines are as long as COLUMNS says
    assert "on the test rows over 2 seeds" in said
    assert "what each technique adds" in said


def test_the_network_is_used(tmp_path: Path, warm: Warm) -> None:
    warm("bash", "-euxo", "pipefail", "-c", block("bash", "--input rows.csv"))
    lines = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("alcohol,class,probability class_0,")
    assert len(lines) == 1 + 178
    assert "# wine" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


def test_the_commands_for_operators_run(tmp_path: Path, warm: Warm) -> None:
    said = warm("bash", "-euxo", "pipefail", "-c", block("bash", "tuner db upgrade"))
    for words in ("claimed wine trial 0", "wine: 3 trials copied"):
        assert words in said
    assert re.search(r"would remove \d checkpoints", said)  # of trials that ended paused
    assert "deleted wine: 3 trials" in said
    assert "nothing to do: tables of tuner" in said


def test_the_study_file_runs(tmp_path: Path, warm: Warm) -> None:
    text = blocks("toml")[0]
    assert len(text.splitlines()) == 15
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.toml").write_text(text, encoding="utf-8")
    said = warm("tuner", "optimize", "--study", "mine", "--trials", "2")
    assert "mine: 2 of 2 trials" in said


def test_the_python_script_runs(tmp_path: Path) -> None:
    text = block("python", "define_study(")
    (tmp_path / "script.py").write_text(text, encoding="utf-8")
    said = run(sys.executable, "script.py", folder=tmp_path)
    value, rate = said.splitlines()[0].split()
    assert 0 < float(value) <= 1
    assert 1e-4 <= float(rate) <= 1e-1
    assert (tmp_path / "wine.db").exists()


def test_the_table_that_is_not_held_runs(tmp_path: Path, warm: Warm) -> None:
    study = block("toml", "sales.parquet").replace("in_memory = 64", "in_memory = 0")
    numbers = np.random.default_rng(0).normal(size=(300, 3))
    table = pd.DataFrame(numbers, columns=["price", "stock", "age"])
    table.assign(sold=numbers[:, 0] > 0).to_parquet(tmp_path / "sales.parquet")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "sales.toml").write_text(study, encoding="utf-8")
    cache = f"TUNER_CACHE={tmp_path / 'cache'}"
    said = warm("env", cache, "tuner", "optimize", "--study", "sales", "--workers", "1")
    assert "sales: 4 of 4 trials" in said
    assert len(list((tmp_path / "cache").glob("rows-*"))) == 1


def test_the_dataset_of_ones_own_runs(tmp_path: Path, warm: Warm) -> None:
    script, study = block("python", "class Pictures"), block("toml", "pictures:load")
    assert "20_000" in script
    (tmp_path / "pictures.py").write_text(script, encoding="utf-8")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "pictures.toml").write_text(study, encoding="utf-8")
    few = partial(warm, "env", "PICTURES=150")
    said = few("tuner", "check", "--study", "pictures")
    assert "90 rows to train on, 30 to validate; 1 x 32 x 32 features" in " ".join(said.split())
    said = few("tuner", "optimize", "--study", "pictures", "--trials", "2")
    assert "pictures: 2 of 2 trials" in said
    assert len(list((tmp_path / "pictures").glob("*.npy"))) == 150


def test_the_network_of_ones_own_runs(tmp_path: Path, warm: Warm) -> None:
    (tmp_path / "networks.py").write_text(block("python", "def net("), encoding="utf-8")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "own.toml").write_text(block("toml", "networks:net"), encoding="utf-8")
    said = warm("tuner", "check", "--study", "own")
    assert "networks:net" in said
    said = warm("tuner", "optimize", "--study", "own", "--trials", "2")
    assert "own: 2 of 2 trials" in said


def test_the_functions_of_ones_own_run(tmp_path: Path, warm: Warm) -> None:
    (tmp_path / "measures.py").write_text(block("python", "def cost("), encoding="utf-8")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "cheap.toml").write_text(
        block("toml", "measures:cost"), encoding="utf-8"
    )
    said = warm("tuner", "optimize", "--study", "cheap", "--trials", "2")
    assert "cheap: 2 of 2 trials" in said
    assert "measures:cost(missed=10.0)" in said
    assert "measures:signs" in warm("tuner", "check", "--study", "cheap")


def test_every_metric_and_loss_is_on_its_page() -> None:
    section = PAGES["functions.md"]
    assert all(re.search(rf'[`"]{name}[`"]', section) for name in (*METRICS, *LOSSES))


def test_the_objective_of_ones_own_runs(tmp_path: Path, warm: Warm) -> None:
    (tmp_path / "forests.py").write_text(block("python", "ExtraTreesClassifier"), encoding="utf-8")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "forest.toml").write_text(
        block("toml", "forests:accuracy"), encoding="utf-8"
    )
    said = warm("tuner", "optimize", "--study", "forest")
    assert "forest: 12 of 12 trials" in said
    said = warm("tuner", "retrain", "--study", "forest", "--trial", "0")
    assert "after 5 steps: the same" in said


@pytest.mark.parametrize(("module", "reports"), [("nets", 27), ("lit", 9)])
def test_the_objectives_with_checkpoints_pause_and_go_on(
    tmp_path: Path, warm: Warm, module: str, reports: int
) -> None:
    part = {"nets": "torch.save(", "lit": "import lightning"}[module]
    text = block("python", part)
    assert "tuner.checkpoint(trial)" in text
    (tmp_path / f"{module}.py").write_text(text, encoding="utf-8")
    file = block("toml", "nets:accuracy").replace("nets:", f"{module}:").replace("27", str(reports))
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / f"{module}.toml").write_text(file, encoding="utf-8")
    said = warm("tuner", "optimize", "--study", module, "--trials", "6", "--workers", "1")
    assert f"{module}: 6 of 6 trials" in said
    assert "0 failed" in said
    trials = open_storage(f"sqlite:///{tmp_path}/tuner.db").get_all_trials(1)
    resumed = next(trial for trial in trials if trial.state.name == "COMPLETE")
    assert "paused" in resumed.user_attrs
    said = warm("tuner", "retrain", "--study", module, "--trial", str(resumed.number))
    assert f"after {reports} steps: the same" in said


def test_the_study_of_several_labels_runs(tmp_path: Path, warm: Warm) -> None:
    (tmp_path / "weather.py").write_text(block("python", "def days("), encoding="utf-8")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "weather.toml").write_text(
        block("toml", "weather:days"), encoding="utf-8"
    )
    said = warm("tuner", "check", "--study", "weather")
    said = " ".join(said.split())
    assert "multilabel of 3: rain, wind, fog" in said
    assert "each row's in the loss and the metric" in said
    said = warm("tuner", "optimize", "--study", "weather")
    assert "weather: 8 of 8 trials" in said
    warm("tuner", "export", "--study", "weather", "--out", "model")
    (tmp_path / "rows.csv").write_text("pressure,cloud,humid,north\n-2,2,2,-2\n2,-2,-2,-2\n")
    said = warm("tuner", "predict", "--model", "model", "--input", "rows.csv")
    lines = said.splitlines()
    assert lines[0] == "rain,wind,fog,probability rain,probability wind,probability fog"
    for line, expected in zip(lines[1:], ([1, 0, 1], [0, 0, 0]), strict=True):
        numbers = [float(number) for number in line.split(",")]
        assert numbers[:3] == [share > 0.5 for share in numbers[3:]] == expected


def test_the_two_lines_to_copy() -> None:
    """CI runs them: the second in `.ci/run`, which reads it from between the marks."""
    install = "python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt"
    first, second = blocks("bash")[:2]
    assert first == f"{install} . && .venv/bin/tuner optimize --study digits\n"
    assert second == f"{install} -e '.[dev]' && .venv/bin/pytest -n 2\n"
    assert README.count(install) == 2
    marked = re.findall(r"<!-- test line -->\n```bash\n(.*?)```\n<!-- end -->", README, re.S)
    assert marked == [second]
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text(encoding="utf-8")
    read = next(line for line in text.splitlines() if line.startswith("line="))
    assert run("bash", "-c", f'{read}; echo "$line"', folder=ROOT) == second
    for linter in ("ruff check .", "mypy --strict tuner", "lint-imports"):
        assert f".venv/bin/{linter}" in text


def test_the_constraints_pin_every_dependency() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wanted = set(re.findall(r'^ +"([\w-]+)(?:\[\w+\])?>=', project, re.M))
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    names = set(re.findall(r"^([\w.-]+)==[\w.]+", pinned, re.M))
    normal = {name.lower().replace("_", "-") for name in names}
    assert {name.lower() for name in wanted} <= normal


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_in_the_readme(name: str) -> None:
    assert re.search(rf"tuner {name}\b|`{name}`", README), f"README.md does not name {name}"


def test_every_command_and_option_that_is_named_exists() -> None:
    named = re.findall(r"`tuner ([\w-]+)|\$ tuner ([\w-]+)|bin/tuner ([\w-]+)", DOCUMENTS)
    named += re.findall(r"^tuner ([\w-]+)()()", "".join(blocks("bash")), re.M)
    assert {name for found in named for name in found if name} <= set(COMMANDS)
    options = [option for each in COMMANDS.values() for option in each.params]
    known = {word for each in options for word in (*each.opts, *each.secondary_opts)}
    known |= {
        "--help",
        "--install-completion",
        "--splits",
        "--folds",
        "--only",
        "--scale",
    }  # of benchmarks, and of docker compose
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", DOCUMENTS)) <= known
    variables = {option.envvar for each in COMMANDS.values() for option in each.params}
    variables |= {"TUNER_PASSWORD", "TUNER_STORAGE_FILE"}  # options would be in a list of processes
    variables |= {"TUNER_LEASE", "TUNER_SPOOL", "TUNER_ARTIFACTS", "TUNER_CACHE"}  # of a machine
    variables |= {"TUNER_RECORDED"}  # to look for an error
    assert set(re.findall(r"TUNER_[A-Z_]+", DOCUMENTS)) <= variables


def test_every_file_that_the_documents_name_exists() -> None:
    for text in (DOCUMENTS, CONTRIBUTING):
        own = ("mine", "own", "cheap", "forest", "nets", "pictures", "weather", "wines")
        shown = {f"studies/{name}.toml" for name in own}
        named = set(PATH.findall(text)) - shown - {"table.csv"}
        assert named
        for path in named:
            assert (ROOT / path).exists(), path
    linked = re.findall(r"\]\(([\w./-]+)\)", README + CONTRIBUTING)
    assert all((ROOT / path).exists() for path in linked)


def test_the_layers_of_the_table_exist() -> None:
    named = re.findall(r"`([\w/]+)`", " ".join(LAYERS.findall(CONTRIBUTING)))
    assert len(named) > 10
    found = {path.stem for path in (ROOT / "tuner").iterdir() if path.name[0] not in "_."}
    assert {name.rstrip("/") for name in named} >= found - {"py", "values", "shipped"}
    for name in named:
        place = ROOT / "tuner" / name
        assert place.is_dir() or place.with_suffix(".py").is_file(), name


def test_there_is_a_recipe_for_everything_that_can_be_added() -> None:
    recipes = re.findall(r"^\*\*An? ([\w ]+)\*\*", CONTRIBUTING, re.M)
    for wanted in ("technique", "optimizer", "schedule", "family of networks", "data source"):
        assert wanted in recipes
