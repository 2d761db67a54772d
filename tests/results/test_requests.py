"""Every request shows what it asked for, whatever is stored; what is unfinished says so."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from optuna.study import StudyDirection
from optuna.trial import TrialState

import tuner
from tuner.reports.compare import compare_facts
from tuner.reports.report import build
from tuner.results import ablate as taking_apart
from tuner.results import confirm as confirming
from tuner.results import replicas
from tuner.results.ablate import mixture
from tuner.results.ensemble import Ensemble, Member
from tuner.results.replicas import ReplicaKey, comparable, enqueue
from tuner.run.prepare import load_job, stored_study
from tuner.run.replicate import ablate, confirm
from tuner.show.answers import confirmed, document, verdict
from tuner.show.best import record
from tuner.show.note import note
from tuner.show.snapshot import snapshot
from tuner.storage import Storage, open_storage
from tuner.storage.studies import NAME_LETTERS, REPLICATES
from tuner.worker.job import REPLICA, course_of

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
        asked = confirming.ConfirmRequest(self.labels, 3, 2, True)
        every = asked.everything if any(final for *_, final in values) else ()
        finals = confirming.final_replicas(self.wanted, every, {})
        wanted = [*self.wanted, *finals]
        _, held = enqueue(self.storage, self.study, self.metric, "confirm", wanted)
        if remembered:
            confirming.remember(self.storage, held, asked)
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
    assert found.asked.wanted == (15 if remembered else 9)


def test_an_interrupted_confirm_says_so_everywhere(kept: Kept) -> None:
    """All but one have three seeds, and that one has two: all are compared over these."""
    values = validated(kept.first, 0.8, 0.8, 0.5) | validated(BASELINE, 0.7, 0.7, 0.7)
    kept.confirm(values | validated(kept.second, 0.85, 0.85))
    found = kept.read()
    assert found.winner.label == kept.second
    assert {len(each.validation.values) for each in found.rows} == {found.seeds} == {2}
    command = "tuner confirm --study small --top 2 --seeds 3"
    left = f"unfinished: 8 of 15 trainings are done; `{command}` trains the rest"
    assert f"over 2 seeds; the baseline 0.7000 (0.7000 to 0.7000); {left}" in verdict(found)
    assert "2 of 3" in _text(confirmed(found))
    assert document(found)["asked"]["finished"] is False
    assert document(found)["asked"]["command"] == command
    best = record(kept.storage, kept.study, kept.study_id)
    assert best is not None
    assert left in best["confirmed"]["verdict"]
    now = snapshot(kept.storage, kept.study, kept.study_id, 0.0, 0)
    assert "is done" not in note(now, kept.study, found)
    assert "8 of 15 trainings are done" in note(now, kept.study, found)
    report = build(kept.storage, kept.study, kept.study_id, "--storage sqlite:///x.db")
    assert report.verdict[0].startswith("Confirmed over 2 seeds: ")
    assert any(f"`{command} --storage sqlite:///x.db` trains the" in s for s in report.verdict)
    assert "| 2 of 3 |" in report.markdown()
    notes = compare_facts([report.facts, report.facts]).notes
    assert any(
        each.startswith("The confirmation of small is unfinished: 8 of 15") for each in notes
    )
    assert json.loads(report.text("json"))["confirmation"]["asked"]["finished"] is False


def test_a_card_says_that_confirm_is_unfinished(kept: Kept) -> None:
    from tuner.exports.choose import chosen

    kept.confirm(validated(kept.first, 0.8) | validated(BASELINE, 0.7))
    found = chosen(kept.storage, kept.study, kept.study_id, None)
    assert found.why == "the winner of an unfinished `tuner confirm`"
    assert "2 of 15 trainings are done" in found.unfinished
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
    assert "14 of 15 trainings are done" in said


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
        found = confirm("small", searched.options, top=top, seeds=seeds, full=True)
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


# A race: configurations that can hardly win get no further seeds.


def raced(kept: Kept) -> dict[ReplicaKey, float]:
    """The second configuration is far behind after two seeds."""
    values = validated(kept.first, 0.80, 0.82, 0.81) | validated(BASELINE, 0.70, 0.71, 0.71)
    values |= validated(kept.second, 0.30, 0.33)
    return values | on_test_rows(kept.first, 0.8, 0.8, 0.7) | on_test_rows(BASELINE, 0.7, 0.6, 0.7)


def test_a_stopped_configuration_needs_no_more_trainings(kept: Kept) -> None:
    kept.confirm(raced(kept))
    found = kept.read()
    assert found.finished
    assert found.asked is not None
    assert found.asked.wanted == 3 + 3 + 2 + 2 * 3
    assert [row.label for row in found.rows] == [kept.first, BASELINE, kept.second]
    *whole, last = found.rows
    assert last.stopped is not None
    assert (last.stopped.seeds, last.stopped.leader) == (2, kept.first)
    assert last.stopped.behind == pytest.approx(0.495)
    assert last.validation.values == (0.30, 0.33)
    assert last.test is None
    assert [row.stopped for row in whole] == [None, None]
    assert found.too_few == {}
    assert (found.winner, found.baseline) == tuple(whole)
    assert found.gain is not None
    assert len(found.gain.values) == 3
    assert "stopped after 2: worse by 0.4950" in _text(confirmed(found))
    assert "over 3 seeds" in verdict(found)
    report = build(kept.storage, kept.study, kept.study_id).markdown()
    assert "stopped after 2: worse by" in report


def test_the_intervals_of_winner_and_baseline_are_those_without_a_race(kept: Kept) -> None:
    kept.confirm({**raced(kept), **validated(kept.second, 0.30, 0.33, 0.31)})
    held = kept.storage.get_study_id_from_name("small:confirm")
    race = kept.read()
    asked = confirming.ConfirmRequest(kept.labels, 3, 2, True, full=True)
    confirming.remember(kept.storage, held, asked)
    full = kept.read()
    assert full.rows[:2] == race.rows[:2]
    assert len(race.rows[2].validation.values) == 2  # whatever other requests trained
    assert len(full.rows[2].validation.values) == 3
    assert full.asked is not None
    assert full.asked.command.endswith("--top 2 --full --seeds 3")
    assert (full.asked.wanted, full.finished) == (18, False)


def test_a_request_of_before_there_were_races_has_none(kept: Kept) -> None:
    kept.confirm(raced(kept))
    held = kept.storage.get_study_id_from_name("small:confirm")
    asked = dict(kept.storage.get_study_user_attrs(held)[replicas.ASKED])
    assert asked.pop("full") is False
    kept.storage.set_study_user_attr(held, replicas.ASKED, asked)
    found = kept.read()
    assert [row.stopped for row in found.rows] == [None] * 3
    assert found.asked is not None
    assert found.asked.wanted == 18


def test_where_all_others_are_stopped_the_baseline_is_the_answer(kept: Kept) -> None:
    values = validated(BASELINE, 0.80, 0.82, 0.81) | on_test_rows(BASELINE, 0.8, 0.7, 0.8)
    values |= validated(kept.first, 0.30, 0.31) | validated(kept.second, 0.2, 0.23)
    kept.confirm(values)
    found = kept.read()
    assert found.finished
    assert found.winner is found.baseline is found.rows[0]
    assert found.winner.test is not None
    assert found.best_but_baseline is found.rows[1]
    assert found.gain is None


def test_the_networks_of_an_ensemble_are_wanted_on_the_test_rows(kept: Kept) -> None:
    kept.confirm(raced(kept))
    asked = confirming.ConfirmRequest(kept.labels, 3, 2, True)
    known = confirming.trainings(kept.storage, kept.study, asked)
    assert known.wanted == known.done
    members = frozenset({(kept.second, 0), (kept.first, 1)})
    more = replace(known, members=members)
    assert more.wanted - known.wanted == {(kept.second, 0, True)}
    assert replace(more, request=replace(asked, tests=False)).wanted == {
        key for key in known.wanted if not key[2]
    }


def test_what_comes_next_is_up_to_the_next_look_or_something_for_each_worker(kept: Kept) -> None:
    kept.confirm({})
    asked = confirming.ConfirmRequest(kept.labels, 3, 2, True)
    known = confirming.trainings(kept.storage, kept.study, asked)
    two = [(label, seed, False) for seed in (0, 1) for label in kept.labels]
    sure = [(BASELINE, 2, False)]
    assert [each.key for each in known.batch(kept.wanted, 2)] == two + sure
    assert [each.key for each in known.batch(kept.wanted, 6)] == two + sure
    assert [each.key for each in known.batch(kept.wanted, 7)] == [r.key for r in kept.wanted]
    assert len(known.wanted) == 9 + 6
    results = {key: replicas.Result(x, ()) for key, x in raced(kept).items() if key[1] < 2}
    later = replace(known, results=results)
    assert [each.key for each in later.batch(kept.wanted, 1)] == [
        (kept.first, 2, False),
        (BASELINE, 2, False),
    ]


def test_a_run_makes_the_trainings_that_it_needs_and_no_others(searched: Any) -> None:
    found = confirm("small", searched.options, top=3, seeds=3)
    storage = open_storage(searched.url)
    study, _ = stored_study(storage, "small")
    assert found.finished
    assert found.asked is not None
    trials = storage.get_all_trials(storage.get_study_id_from_name("small:confirm"))
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * found.asked.wanted
    for row in found.rows:
        seeds = 3 if row.stopped is None else row.stopped.seeds
        assert len(row.validation.values) == seeds
        assert (row.test is not None) == (row in (found.winner, found.baseline))
    full = confirm("small", searched.options, top=3, seeds=3, full=True)
    same = {row.label: row for row in full.rows}
    for row in (found.winner, found.baseline):
        assert row is not None
        assert same[row.label].validation == row.validation
        assert same[row.label].test == row.test
    again = confirm("small", searched.options, top=3, seeds=3)
    assert again.rows == found.rows
    assert confirming.read(open_storage(searched.url), study) == again


def test_the_networks_of_an_ensemble_are_trained_for_the_test_rows(searched: Any) -> None:
    """As where the command was killed after it had chosen an ensemble."""
    found = confirm("small", searched.options, top=2, seeds=2)
    storage = open_storage(searched.url)
    study, _ = stored_study(storage, "small")
    held = storage.get_study_id_from_name("small:confirm")
    third = next(row for row in found.rows if row.test is None)
    members = (Member(third.label, third.number, 1, 0.5), Member(BASELINE, 0, 0, 0.5))
    asked = storage.get_study_user_attrs(held)[replicas.ASKED]
    made = asdict(Ensemble(16, members, 6, 0.5, 0.1, 60))
    record = {"request": asked, confirming.MEASURED: False, **made}
    storage.set_study_user_attr(held, confirming.ENSEMBLE, record)
    left = confirming.read(storage, study)
    assert left is not None
    assert left.asked is not None
    assert left.asked.wanted - left.asked.trained == 1
    again = confirm("small", searched.options, top=2, seeds=2)
    trained = replicas.finished_replicas(open_storage(searched.url), study, "confirm")
    assert (third.label, 1, True) in trained
    assert again.finished
    assert again.ensemble == found.ensemble


def test_an_ensemble_whose_networks_are_trained_already_is_measured_on_the_test_rows(
    searched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `--full`, and within a budget, where the test rows come first."""
    monkeypatch.setattr("tuner.results.ensemble.DOUBT", -1e6)  # it helps, whatever its gain
    full = confirm("small", searched.options, top=2, seeds=2, full=True)
    again = confirm("small", searched.options, top=2, seeds=2)
    assert full.answer is not None
    assert full.answer.test is not None
    assert again.finished
    assert again.ensemble == full.ensemble
    assert again.calibration == full.calibration


def test_within_a_budget_the_best_and_the_baseline_come_first(searched: Any) -> None:
    found = confirm("small", searched.options, top=2, seeds=2, budget=600.0)
    storage = open_storage(searched.url)
    study, study_id = stored_study(storage, "small")
    trials = storage.get_all_trials(study_id)
    best = f"trial {confirming.candidates(study, trials, 'maximize', 1)[0].number}"
    held = storage.get_study_id_from_name("small:confirm")
    order = [trial.user_attrs[REPLICA] for trial in storage.get_all_trials(held)]
    first = {(each["label"], each["seed"], each["final"]) for each in order[:4]}
    assert first == {(label, seed, False) for label in (best, BASELINE) for seed in (0, 1)}
    assert order[4]["final"]
    assert found.finished
    assert {row.label for row in found.rows} >= {best, BASELINE}


def test_a_budget_that_is_spent_leaves_the_others_out(searched: Any) -> None:
    first = confirm("small", searched.options, top=1, seeds=1)
    assert first.finished
    limited = confirm("small", searched.options, top=3, seeds=1, budget=1e-6)
    assert not limited.finished
    assert limited.winner.label == first.winner.label
    assert set(limited.too_few.values()) == {0}
    assert "trains the rest" in verdict(limited)
    assert confirm("small", searched.options, top=3, seeds=1).finished


# Work that is left, and work that is done already.


def test_seconds_are_those_of_the_same_configuration(kept: Kept) -> None:
    kept.confirm({})
    assert math.isnan(replicas.seconds_of(kept.storage, kept.study, "confirm", []))
    held = kept.storage.get_study_id_from_name("small:confirm")
    took = {(kept.first, 0, False): 3.0, (kept.first, 1, False): 5.0, (BASELINE, 0, False): 1.0}
    for replica, trial in zip(kept.wanted, kept.storage.get_all_trials(held), strict=True):
        if replica.key in took:
            number = trial._trial_id
            kept.storage.set_trial_user_attr(number, "seconds", took[replica.key])
            kept.storage.set_trial_state_values(number, TrialState.RUNNING)
            kept.storage.set_trial_state_values(number, TrialState.COMPLETE, [0.5])

    def seconds(*keys: ReplicaKey) -> float:
        return replicas.seconds_of(kept.storage, kept.study, "confirm", keys)

    assert seconds((kept.first, 1, False)) == 5.0
    assert seconds((kept.first, 2, False), (BASELINE, 2, True)) == 4.0 + 1.0
    assert seconds((kept.second, 0, False)) == pytest.approx((1 + 3 + 5) / 3)


def test_progress_is_of_the_whole_request_and_its_total_does_not_grow(searched: Any) -> None:
    shown: list[Any] = []
    found = confirm("small", searched.options, top=2, seeds=2, watch=shown.append)
    assert found.asked is not None
    totals = [each.progress.budget for each in shown]
    assert totals == sorted(totals, reverse=True)
    assert totals[0] == 3 * 2 + 2 * 2
    assert shown[-1].progress.met
    assert shown[-1].progress.finished == found.asked.wanted
    done = [each.progress.finished for each in shown]
    assert done == sorted(done)
    assert shown[-1].left == 0


def test_ablate_takes_what_confirm_has_trained(searched: Any) -> None:
    confirm("small", searched.options, top=1, seeds=2)
    ablate("small", searched.options, seeds=2, views=["off"])
    storage = open_storage(searched.url)
    study, study_id = stored_study(storage, "small")
    trials = replicas.finished_replicas(storage, study, "ablate").values()
    same = [trial for _, trial in trials if trial.user_attrs["ended"].startswith("same as trial")]
    assert len(same) == 4  # the two ends of the comparison, with two seeds
    torch.set_num_threads(1)
    for trial in same:
        course = course_of(load_job(study, study_id), trial, "cpu")
        for epoch in course.epochs():
            if epoch.number >= trial.user_attrs["epochs"]:
                break
        assert course.history[-1] == trial.value
    ablate("small", searched.options, seeds=2, views=["off"])
    assert len(replicas.finished_replicas(open_storage(searched.url), study, "ablate")) == len(
        trials
    )
