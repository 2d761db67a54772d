"""How long a proposal takes: of tuner's sampler, of TPE with what it knows kept, and of Optuna's
TPE. One JSON line.

All propose from the same trials, ten parameters each; both TPE propose the same (a test shows it).

    python tests/benchmarks/sampler_cost.py [--rounds 30]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import create_trial

from tuner.search.overlay import Overlay
from tuner.search.propose import propose
from tuner.search.samplers import build_sampler
from tuner.search.tpe import Past
from tuner.storage import open_storage

KINDS: dict[str, Any] = {
    **{f"float{i}": FloatDistribution(1e-5, 1.0, log=i % 2 == 0) for i in range(5)},
    **{f"int{i}": IntDistribution(1, 256, log=i == 0) for i in range(2)},
    **{f"choice{i}": CategoricalDistribution([True, False, "a"]) for i in range(3)},
}


def define(trial: Any) -> None:
    for name, kind in KINDS.items():
        trial._suggest(name, kind)


def filled(url: str, count: int) -> optuna.Study:
    """A study of so many finished trials, in our storage."""
    chance = random.Random(0)
    study = optuna.create_study(storage=open_storage(url), study_name=f"of {count}")
    for _ in range(count):
        params = {
            name: chance.choice(kind.choices)
            if isinstance(kind, CategoricalDistribution)
            else chance.randint(kind.low, kind.high)
            if isinstance(kind, IntDistribution)
            else chance.uniform(kind.low, kind.high)
            for name, kind in KINDS.items()
        }
        study.add_trial(create_trial(value=chance.random(), params=params, distributions=KINDS))
    return study


def measure(study: optuna.Study, count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of a proposal, in turns, after one of each."""
    walls: dict[str, list[float]] = {"auto": [], "tpe": [], "tpe of optuna": []}
    pruner, past = optuna.pruners.NopPruner(), Past()
    view = Overlay(study._storage, study.study_name)
    for number in range(rounds + 1):
        for name, kept in (("auto", None), ("tpe", past), ("tpe of optuna", None)):
            begun = time.perf_counter()
            sampler = build_sampler(name.split()[0], {}, seed=0, number=count + number, past=kept)
            propose(view, study.study_name, sampler, pruner, count + number, define)
            walls[name].append(1000 * (time.perf_counter() - begun))
    return {
        name: {"median": round(statistics.median(each[1:]), 2), "least": round(min(each), 2)}
        for name, each in walls.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="sampler") as folder:
        url = f"sqlite:///{folder}/tuner.db"
        found = {f"{n} trials": measure(filled(url, n), n, rounds) for n in (100, 1000, 5000)}
    load = [round(each, 1) for each in os.getloadavg()]
    print(json.dumps({"unit": "ms a proposal", "load of the machine": load} | found))


if __name__ == "__main__":
    main()
