"""``tuner confirm`` is killed in the middle: the same command goes on, and finds the same."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from optuna.trial import TrialState

from tuner.cli import main
from tuner.errors import TunerError
from tuner.operation.copy import copy
from tuner.output import to_json
from tuner.run.options import RunOptions
from tuner.run.replicate import confirm
from tuner.show.answers import document
from tuner.storage import open_storage
from tuner.storage.events import CLAIMED, ENDED
from tuner.training.trainer import Trainer
from tuner.worker.job import REPLICA

COMPLETE = TrialState.COMPLETE
TOP, SEEDS = 1, 2
TRAININGS = (TOP + 1) * SEEDS * 2
"""With the baseline, and each on the rows of the search and on the test rows."""


@pytest.fixture
def searched(make: Any, sqlite_url: str) -> Any:
    shared = make(sqlite_url).submit(trials=2, epochs=4)
    shared.finish()
    return shared


def test_a_confirmation_that_is_killed_goes_on(
    searched: Any, make: Any, until: Callable[..., None]
) -> None:
    other = f"sqlite:///{searched.folder}/other.db"
    list(copy(searched.storage, open_storage(other)))
    words = f"confirm --study small --top {TOP} --seeds {SEEDS} --workers 1 --device cpu --json"
    killed = searched.fork(stuck, *words.split())
    held = make(searched.url, "small:confirm")
    until(lambda: in_the_middle(held), seconds=60)
    os.killpg(killed.pid, signal.SIGKILL)  # the worker too, as where the machine ends
    killed.join()
    before = {trial.number: trial for trial in held.trials() if trial.state == COMPLETE}
    interrupted = set(happened(held, CLAIMED)) - before.keys()
    assert (set(before), interrupted) == ({0}, {1})

    again = searched.command(*words.split())
    out, said = again.communicate(timeout=60)
    assert again.returncode == 0, said
    trials = held.trials()
    assert [trial.state for trial in trials] == [COMPLETE] * TRAININGS
    assert len({json.dumps(trial.user_attrs[REPLICA]) for trial in trials}) == TRAININGS
    assert all(trials[number] == trial for number, trial in before.items())
    assert happened(held, ENDED) == dict.fromkeys(range(TRAININGS), 1)
    assert happened(held, CLAIMED) == {n: 1 + (n in interrupted) for n in range(TRAININGS)}

    options = RunOptions(other, workers=1, device="cpu")
    whole = confirm("small", options, top=TOP, seeds=SEEDS)
    assert json.loads(out) == json.loads(to_json(document(whole)))


def stuck(*words: str) -> None:
    """The command in a session of its own, whose second training stays at its third epoch."""
    train, begun = Trainer._train_epoch, 0

    def train_once(self: Trainer) -> Any:
        nonlocal begun
        begun += self.epoch == 0
        while begun > 1 and self.epoch == 2:
            time.sleep(0.1)
        return train(self)

    Trainer._train_epoch = train_once  # type: ignore[method-assign]
    os.setsid()
    sys.argv = ["tuner", *words]
    sys.exit(main())


def in_the_middle(held: Any) -> bool:
    """One training is over, and another has begun."""
    try:
        trials = held.trials()
    except TunerError:  # nothing is there yet
        return False
    running = any(t.state == TrialState.RUNNING and t.intermediate_values for t in trials)
    return running and any(trial.state == COMPLETE for trial in trials)


def happened(held: Any, kind: str) -> Counter[int]:
    """How often it happened to each trial."""
    events = held.storage.events(held.study_id)
    return Counter(event.trial for event in events if event.kind == kind)
