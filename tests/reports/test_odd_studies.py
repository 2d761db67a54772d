"""Reports on studies of every kind: few trials, none complete, names that mean something elsewhere.

Nothing is empty, nothing fails, and what users wrote stays text.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial
from rich.console import Console

from tuner.errors import TrainingError, UsageError
from tuner.exports.choose import chosen
from tuner.reports.compare import compare_facts
from tuner.reports.compare import view as side_by_side
from tuner.reports.report import report_of
from tuner.show.best import pasted, record, view
from tuner.show.note import note
from tuner.show.snapshot import snapshot

Trial = Callable[..., FrozenTrial]
EVIL = "<b>x</b> | `b\n\n<i>` & &lt; $a$ _u_ *s* \n# h \N{GRINNING FACE} [l](http://x)"
ONE = {"metric": "accuracy", "data": {"source": "sklearn.datasets:load_wine"}} | {
    "training": {"epochs": 5, "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}
}
OWN = {"objective": "a.b:c", "metric": EVIL, "direction": "minimize"}
OWN |= {"description": f"- {EVIL}\n---\n1. one"}
NONE = {"metric": "rmse", "data": {"source": "sklearn.datasets:load_diabetes"}}
NONE |= {"training": {"epochs": 3}}
OPTIONS = [EVIL, "b|c", "`", None, True, 1.5, "x" * 500]
PLACES = {
    EVIL: CategoricalDistribution(OPTIONS),
    "long" * 100: FloatDistribution(-1e300, 1e300),
    "negative": FloatDistribution(-5, -1),
    "the same": IntDistribution(3, 3),
}


def own(make_trial: Trial, number: int, state: str = "COMPLETE", **more: Any) -> FrozenTrial:
    """A trial of an own objective, whose attributes may be anything."""
    params = {EVIL: OPTIONS[number % 7], "long" * 100: (-1) ** number * 10.0**number}
    params |= {"negative": -1.0 - number % 4, "the same": 3}
    value = None if state in ("FAIL", "RUNNING") else -float(number) - 1
    attributes = {"seconds": "fast", "epochs": [1], "parameters": EVIL, "device": EVIL}
    found = make_trial(number, state, value, params={}, **attributes, **more)
    found.params, found.distributions = params, PLACES
    return found


def few(count: int) -> Callable[[Trial], list[FrozenTrial]]:
    return lambda make: [make(n) for n in range(count)]


def all_of(state: str, **more: Any) -> Callable[[Trial], list[FrozenTrial]]:
    value = 0.0 if state in ("COMPLETE", "PRUNED") else None
    return lambda make: [make(n, state, value, **more) for n in range(12)]


def with_value(*values: float) -> Callable[[Trial], list[FrozenTrial]]:
    return lambda make: [make(n, value=values[n % len(values)]) for n in range(24)]


def without_curves(make: Trial) -> list[FrozenTrial]:
    found = [make(n) for n in range(12)]
    for trial in found:
        trial.intermediate_values = {}
    return found


def with_rate(make: Trial) -> list[FrozenTrial]:
    return [make(n, params={"learning_rate": 10 ** -(1 + n / 12)}) for n in range(12)]


STUDIES: dict[str, tuple[Callable[[Trial], list[FrozenTrial]], Any]] = {
    "one trial": (few(1), None),
    "two trials": (few(2), None),
    "all pruned": (all_of("PRUNED"), None),
    "pruned at once": (lambda make: [make(n, "PRUNED", None) for n in range(3)], None),
    "all failed": (all_of("FAIL", error=f"ValueError: {EVIL}"), None),
    "failed in silence": (all_of("FAIL", error=""), None),
    "all running": (all_of("RUNNING"), None),
    "no curves": (without_curves, None),
    "foreign": (all_of("COMPLETE", params={}), None),
    "one parameter": (with_rate, ONE),
    "no parameters": (all_of("COMPLETE", params={}), NONE),
    "identical values": (with_value(0.5), None),
    "zero": (with_value(0.0001, -0.0001), None),
    "negative values": (with_value(-5.0, -7.0, -1e9), None),
    "negative, minimized": (lambda make: with_rate(make), NONE),
    "infinite": (with_value(math.inf, 0.5, -math.inf), None),
    "only infinite": (with_value(math.inf), None),
    "own objective": (lambda make: [own(make, n) for n in range(24)], OWN),
    "modelled": (few(64), None),
    "modelled, mostly pruned": (
        lambda make: [make(n, "PRUNED" if n % 8 else "COMPLETE") for n in range(64)],
        None,
    ),
    "modelled, one parameter": (lambda make: [*with_rate(make), *with_rate(make)] * 3, ONE),
    "modelled, infinite": (
        lambda make: [make(n, value=math.inf if n % 9 else n / 64) for n in range(64)],
        None,
    ),
    "modelled, own objective": (lambda make: [own(make, n) for n in range(64)], OWN),
    "own, none complete": (lambda make: [own(make, n, "PRUNED") for n in range(3)], OWN),
    "own, failed": (lambda make: [own(make, n, "FAIL", error=EVIL) for n in range(3)], OWN),
}


class Sections(HTMLParser):
    """The words of each section of a page, the tags, and the specifications of its figures."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.words: dict[str, str] = {}
        self.tags: set[str] = set()
        self.figures: list[Any] = []
        self.inside = self.skip = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.inside = dict(attrs)["id"] or "" if tag == "section" else self.inside
        self.skip = tag if tag in ("script", "h2") else self.skip

    def handle_endtag(self, tag: str) -> None:
        self.skip = "" if tag == self.skip else self.skip

    def handle_data(self, data: str) -> None:
        if self.skip == "script" and data.startswith('{"data"'):
            self.figures.append(json.loads(data))
        elif self.inside and not self.skip:
            self.words[self.inside] = self.words.get(self.inside, "") + data.strip()


@pytest.mark.parametrize("name", STUDIES)
def test_a_report_has_no_empty_section_and_no_empty_figure(
    place: Any, make_trial: Trial, name: str
) -> None:
    trials, document = STUDIES[name]
    report = report_of(place.facts(*trials(make_trial), document=document))
    page = Sections(report.html())
    assert set(page.words) == {section.key for section in report.sections}
    assert all(page.words.values())
    assert all(figure["data"] for figure in page.figures)
    assert not {"b", "i", "b\n"} & page.tags
    headings = re.split(r"^## .*\n", _without_code(report.markdown()), flags=re.MULTILINE)
    assert len(headings) == 1 + len(report.sections)
    assert all(text.strip() for text in headings)
    assert bool(json.loads(report.text("json"))["trials"]) == (name != "foreign")


@pytest.mark.parametrize("name", STUDIES)
def test_words_of_users_stay_text_in_markdown(place: Any, make_trial: Trial, name: str) -> None:
    trials, document = STUDIES[name]
    facts = place.facts(*trials(make_trial), document=document)
    now = snapshot(place.storage, facts.study, 1, 0.0, 0)
    for text in (report_of(facts).markdown(), note(now, facts.study)):
        outside = re.sub(r"(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)", "", _without_code(text))
        assert not re.search(r"(?<!\\)<[a-z/]", outside)
        assert not re.search(r"(?<!\\)&(lt|#)", outside)
        rows = [line for line in outside.splitlines() if line.startswith("|")]
        for before, after in pairwise(rows):
            if before.startswith("| :--") or after.startswith(("| :--", "| --:")):
                assert _cells(before) == _cells(after)
        assert not re.search(r"^(- |---|1\. )", outside, flags=re.MULTILINE)


def _cells(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row))


def _without_code(markdown: str) -> str:
    return re.sub(r"^(`{3,})\w*\n.*?^\1$", "code", markdown, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", STUDIES)
def test_best_and_compare_answer(place: Any, make_trial: Trial, name: str) -> None:
    trials, document = STUDIES[name]
    facts = place.facts(*trials(make_trial), document=document)
    found = compare_facts([facts, facts])
    console = Console(width=2000, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(side_by_side(found))
    assert "wall-clock time" in captured.get()
    if not facts.complete:
        why = (
            "no trial of (?:'made'|the study's own) is complete"
            "|made: all [0-9]+ trials (?:were pruned|ended without a finite value)"
        )
        with pytest.raises((UsageError, TrainingError), match=why):
            record(place.storage, facts.study, 1)
        with pytest.raises((UsageError, TrainingError), match=why):
            chosen(place.storage, facts.study, 1, None)
    else:
        best = record(place.storage, facts.study, 1)
        assert facts.best is not None
        assert best["number"] == facts.best.number
        assert (best["model"] is None) == (facts.model is None)
        assert best["model"] is None or best["model"]["low"] <= best["model"]["high"]
        assert tomllib.loads(view(best)) == tomllib.loads(best["toml"])
        assert chosen(place.storage, facts.study, 1, None).trial.number == best["number"]


def test_toml_of_an_own_objective_keeps_its_parameters(place: Any, make_trial: Trial) -> None:
    study = place.facts(own(make_trial, 0), document=OWN).study
    config = {EVIL: "\N{GRINNING FACE}", "a": [1, 2.5], "none\nof": None, "far": math.inf}
    text = pasted(study, config)
    queue = tomllib.loads(text)["search"]["enqueue"]
    assert queue == [{name: value for name, value in config.items() if value is not None}]
    assert text.startswith("# none of is None, for which TOML has no value\n")


def test_a_pruned_epoch_counts_as_saved_and_a_running_one_does_not(
    place: Any, make_trial: Trial
) -> None:
    trials = [make_trial(0), make_trial(1, "PRUNED"), make_trial(2, "RUNNING", None)]
    text = report_of(place.facts(*trials)).markdown()
    assert "Of 10 planned epochs, 7 were trained: pruning and early stopping saved 30%." in text
