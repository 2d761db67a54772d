"""Every request shows what it asked for, whatever is stored; what is unfinished says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

import tuner
from tuner.reports.compare import compare_facts
from tuner.reports.report import build
from tuner.results import ablate as taking_apart
from tuner.results import confirm as confirming
from tuner.results import replicas
from tuner.results.ablate import mixture
from tuner.results.replicas import ReplicaKey, comparable, enqueue
from tuner.run.prepare import load_job, stored_study
from tuner.run.replicate import ablate, confirm
from tuner.show.answers import confirmed, document, verdict
from tuner.show.best import record
from tuner.show.note import note
from tuner.show.snapshot import snapshot
from tuner.storage import Storage, open_storage
from tuner.storage.studies import NAME_LETTERS, REPLICATES

BASELINE = "baseline"


class Kept:
    """A searched study whose trainings over seeds are made up."""

    def __init__(self, url: str) -> None:
        self.storage: Storage = open_storage(url)
        self.study, self.study_id = stored_study(self.storage, "small")
        self.metric = load_job(self.study, self.study_id).metric
        trials = self.storage.get_all_trials(self.study_id)
        self.wanted = confirming.validation_replicas(self.study, trials, "maximize", 2, 3)
        self.labels = tuple(dict.fromkeys(each.label for each in self.wanted))
        self.first, self.second, _ = self.labels

    def confirm(self, values: Mapping[ReplicaKey, float], remembered: bool = True) -> None:
        """As `confirm --top 2 --seeds 3` leaves it that was interrupted with these results."""
        finals = confirming.final_replicas(self.wanted, {}) if any(k[2] for k in values) else []
        wanted = [*self.wanted, *finals]
        _, held = enqueue(self.storage, self.study, self.metric, "confirm", wanted)
        if remembered:
            confirming.remember(
                self.storage, held, confirming.ConfirmRequest(self.labels, 3, 2, True)
            )
        for replica, trial in zip(wanted, self.storage.get_all_trials(held), strict=True):
            if replica.key in values:
                self.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
                end = TrialState.COMPLETE, [values[replica.key]]
                self.storage.set_trial_state_values(trial._trial_id, *end)

    def read(self) -> confirming.Confirmation:
        found = confirming.read(self.storage, self.study)
        assert found is not None
        return found


@pytest.fixture
def kept(searched: Any) -> Kept:
    return Kept(searched.url)


def validated(label: str, *values: float) -> dict[ReplicaKey, float]:
    return {(label, seed, False): value for seed, value in enumerate(values)}


def on_test_rows(label: str, *values: float) -> dict[ReplicaKey, float]:
    return {(label, seed, True): value for seed, value in enumerate(values)}


@pytest.mark.parametrize("remembered", [True, False])
def test_a_configuration_with_one_seed_does_not_win(kept: Kept, remembered: bool) -> None:
    values = validated(kept.first, 0.8, 0.8, 0.8) | validated(BASELINE, 0.7, 0.7, 0.7)
    kept.confirm(values | validated(kept.second, 0.99), remembered)
    found = kept.read()
    assert found.winner.label == kept.first
    assert {len(each.validation.values) for each in found.rows} == {found.seeds} == {3}
    assert found.too_few == {kept.second: 1}
    assert not found.finished
    assert found.asked is not None
    assert found.asked.wanted == (18 if remembered else 9)


def test_an_interrupted_confirm_says_so_everywhere(kept: Kept) -> None:
    """All but one have three seeds, and that one has two: all are compared over these."""
    values = validated(kept.first, 0.8, 0.8, 0.5) | validated(BASELINE, 0.7, 0.7, 0.7)
    kept.confirm(values | validated(kept.second, 0.85, 0.85))
    found = kept.read()
    assert found.winner.label == kept.second
    assert {len(each.validation.values) for each in found.rows} == {found.seeds} == {2}
    command = "tuner confirm --study small --top 2 --seeds 3"
    left = f"unfinished: 8 of 18 trainings are done; `{command}` trains the rest"
    assert f"over 2 seeds; the baseline 0.7000 (0.7000 to 0.7000); {left}" in verdict(found)
    assert "2 of 3" in _text(confirmed(found))
    assert document(found)["asked"]["finished"] is False
    assert document(found)["asked"]["command"] == command
    best = record(kept.storage, kept.study, kept.study_id)
    assert best is not None
    assert left in best["confirmed"]["verdict"]
    now = snapshot(kept.storage, kept.study, kept.study_id, 0.0, 0)
    assert "is done" not in note(now, kept.study, found)
    assert "8 of 18 trainings are done" in note(now, kept.study, found)
    report = build(kept.storage, kept.study, kept.study_id, "--storage sqlite:///x.db")
    assert report.verdict[0].startswith("Confirmed over 2 seeds: ")
    assert any(f"`{command} --storage sqlite:///x.db` trains the" in s for s in report.verdict)
    assert "| 2 of 3 |" in report.markdown()
    notes = compare_facts([report.facts, report.facts]).notes
    assert any(
        each.startswith("The confirmation of small is unfinished: 8 of 18") for each in notes
    )
    assert json.loads(report.text("json"))["confirmation"]["asked"]["finished"] is False


def test_a_card_says_that_confirm_is_unfinished(kept: Kept) -> None:
    from tuner.exports.choose import chosen

    kept.confirm(validated(kept.first, 0.8) | validated(BASELINE, 0.7))
    found = chosen(kept.storage, kept.study, kept.study_id, None)
    assert found.why == "the winner of an unfinished `tuner confirm`"
    assert "2 of 18 trainings are done" in found.unfinished
    assert found.confirmed is not None
    assert len(found.confirmed.validation.values) == 1


def test_on_the_test_rows_too_the_seeds_are_equal(kept: Kept) -> None:
    three = (kept.first, 0.8), (kept.second, 0.75), (BASELINE, 0.7)
    values = {k: v for label, each in three for k, v in validated(label, *[each] * 3).items()}
    values |= on_test_rows(kept.first, 0.8, 0.9, 1.0) | on_test_rows(BASELINE, 0.5, 0.6)
    kept.confirm(values)
    winner, second, baseline = kept.read().rows
    assert winner.test is not None
    assert baseline.test is not None
    assert winner.test.values == (0.8, 0.9)
    assert baseline.test.values == (0.5, 0.6)
    assert second.test is None
    said = verdict(kept.read())
    assert "on the test rows over 2 seeds" in said
    assert "14 of 18 trainings are done" in said


def test_one_configuration_alone_is_compared_with_nothing(kept: Kept) -> None:
    kept.confirm(validated(kept.second, 0.9, 0.9))
    assert confirming.read(kept.storage, kept.study) is None
    best = tuner.best("small", tuner.RunOptions(kept.storage.url))
    assert best.confirmed is None


def test_the_largest_full_table() -> None:
    seeds = {"a": {0, 1, 2}, "b": {0, 1, 2}, "c": {0}, "d": set[int]()}
    assert comparable(seeds) == (("a", "b"), (0, 1, 2))
    assert comparable({**seeds, "b": {0, 1}}) == (("a", "b"), (0, 1))
    assert comparable(seeds, must={"c"}) == (("a", "b", "c"), (0,))
    assert comparable(seeds, must={"d"}) == comparable({"a": {0}}, 2) == comparable({}) == ((), ())
    assert comparable({"a": {0, 2}, "b": {1, 2}}, 2) == (("a", "b"), (2,))


CONFIRMS = [(2, 3), (3, 1), (1, 2), (1, 3), (2, 1)]
"""Top and seeds, one request after the other on the same database."""


def test_a_confirm_shows_what_it_asked_for_whatever_is_stored(searched: Any) -> None:
    storage = open_storage(searched.url)
    study, study_id = stored_study(storage, "small")
    trials = storage.get_all_trials(study_id)
    for top, seeds in CONFIRMS:
        best = confirming.candidates(study, trials, "maximize", top)
        labels = {BASELINE, *(f"trial {trial.number}" for trial in best)}
        found = confirm("small", searched.options, top=top, seeds=seeds)
        assert {each.label for each in found.rows} == labels
        assert found.finished
        assert (found.seeds, found.too_few) == (seeds, {})
        for each in found.rows:
            assert each.test is not None
            assert len(each.validation.values) == len(each.test.values) == seeds
        assert repr(confirming.read(open_storage(searched.url), study)) == repr(found)
        assert f"over {seeds} seed" in verdict(found)


ABLATES = [
    (3, ("off",)),
    (2, ("path",)),
    (1, taking_apart.VIEWS),
    (3, taking_apart.VIEWS),
    (2, ("on",)),
    (1, ("path", "off")),
]


def test_an_ablate_shows_what_it_asked_for_whatever_is_stored(searched: Any) -> None:
    storage = open_storage(searched.url)
    study, study_id = stored_study(storage, "small")
    trials = storage.get_all_trials(study_id)
    for seeds, views in ABLATES:
        found = ablate("small", searched.options, seeds=seeds, views=views)
        mixed = mixture(study, trials[0], trials[found.number])
        items = {"off": mixed.techniques, "on": mixed.techniques, "path": mixed.items}
        assert {e.view for e in found.effects} == set(views)
        for view in views:
            mine = [e for e in found.effects if e.view == view]
            assert sorted(e.technique for e in mine) == sorted(items[view])
            assert {len(e.difference.values) for e in mine} == {seeds}
        assert found.seeds == seeds
        assert found.finished
        read = taking_apart.read(open_storage(searched.url), study)
        assert read is not None
        assert {e.view for e in read.effects} >= set(views)
        assert {len(e.difference.values) for e in read.effects} == {seeds} == {read.seeds}
        assert read.finished


def test_views_of_earlier_requests_are_read_with_the_last_one(searched: Any) -> None:
    for view in ("off", "on"):
        ablate("small", searched.options, seeds=1, views=[view])
    storage = open_storage(searched.url)
    study, _ = stored_study(storage, "small")
    found = taking_apart.read(storage, study)
    assert found is not None
    assert {e.view for e in found.effects} >= {"off", "on"}


@pytest.fixture
def half_ablated(kept: Kept) -> taking_apart.Ablation:
    """As `ablate --seeds 3 --view off` leaves it that was interrupted: the second technique has
    one seed, all else has three."""
    trials = kept.storage.get_all_trials(kept.study_id)
    both = next(t for t in trials if t.params.get("dropout.on") and t.params.get("weight_decay.on"))
    mixed = mixture(kept.study, trials[0], both)
    asked = taking_apart.AblateRequest(both.number, True, False, 3, ("off",))
    wanted = taking_apart.single_change_replicas(mixed, ["off"], 3, True)
    _, held = enqueue(kept.storage, kept.study, kept.metric, "ablate", wanted)
    taking_apart.remember(kept.storage, held, asked)
    last = mixed.label(mixed.everything - {"weight_decay"})
    for replica, trial in zip(wanted, kept.storage.get_all_trials(held), strict=True):
        if replica.seed < (1 if replica.label == last else 3):
            number = trial._trial_id
            end = TrialState.COMPLETE, [0.5 + replica.seed / 9]
            kept.storage.set_trial_state_values(number, TrialState.RUNNING)
            kept.storage.set_trial_state_values(number, *end)
    found = taking_apart.read(kept.storage, kept.study)
    assert found is not None
    return found


def test_an_interrupted_ablate_says_so(kept: Kept, half_ablated: taking_apart.Ablation) -> None:
    from tuner.show.answers import ablated

    found = half_ablated
    assert {len(e.difference.values) for e in found.effects} == {found.seeds}
    assert [e.technique for e in found.effects] == ["dropout"]
    assert (found.seeds, found.finished) == (3, False)
    command = "tuner ablate --study small --view off --seeds 3"
    left = f"unfinished: 10 of 12 trainings are done; `{command}` trains the rest"
    assert left in _text(ablated(found))
    assert "over 3 seeds" in _text(ablated(found))
    assert document(found)["asked"]["finished"] is False
    report = build(kept.storage, kept.study, kept.study_id).markdown()
    assert "10 of 12 trainings are done" in report


def _text(found: Any) -> str:
    from rich.console import Console

    console = Console(width=250, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(found)
    return captured.get()


def test_what_an_interrupted_request_left_is_not_trained_by_a_smaller_one(searched: Any) -> None:
    kept = Kept(searched.url)
    kept.confirm({})
    held = kept.storage.get_study_id_from_name("small:confirm")
    found = confirm("small", searched.options, top=1, seeds=1)
    assert found.finished
    assert (found.seeds, len(found.rows)) == (1, 2)
    trained = [
        t for t in open_storage(searched.url).get_all_trials(held) if t.user_attrs.get("ended")
    ]
    assert len(trained) == 4  # on the validation rows, and on the test rows
    more = confirm("small", searched.options, top=2, seeds=2)
    assert more.finished
    assert {len(each.validation.values) for each in more.rows} == {2}
    states = [t.state for t in open_storage(searched.url).get_all_trials(held)]
    assert TrialState.WAITING not in states


def test_a_training_that_diverged_is_done_and_not_compared(kept: Kept) -> None:
    values = validated(kept.first, 0.8, 0.8, 0.8) | validated(BASELINE, 0.7, 0.7, 0.7)
    kept.confirm(values)
    held = kept.storage.get_study_id_from_name("small:confirm")
    for trial in kept.storage.get_all_trials(held):
        if trial.state == TrialState.WAITING:
            kept.storage.set_trial_user_attr(trial._trial_id, "ended", "diverged")
            kept.storage.set_trial_state_values(trial._trial_id, TrialState.PRUNED)
    confirming.remember(kept.storage, held, confirming.ConfirmRequest(kept.labels, 3, 2, False))
    found = kept.read()
    assert found.finished
    assert found.too_few == {kept.second: 0}
    assert "0 of 3, not compared" in _text(confirmed(found))
    assert "unfinished" not in _text(confirmed(found))


def test_the_longest_name_of_a_study_leaves_room_for_its_replicas(database_url: str) -> None:
    storage = open_storage(database_url)
    long = NAME_LETTERS * "x"
    name = replicas._replica_name(storage, long, "confirm")
    study_id = storage.create_new_study([StudyDirection.MAXIMIZE], name)
    storage.set_study_user_attr(study_id, REPLICATES, long)
    assert replicas.find_holder(storage, long, "confirm") == (name, study_id)
    other = replicas._replica_name(storage, long[:-1], "confirm")
    assert other != name
    storage.close()
