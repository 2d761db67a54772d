"""Search quality: tuner.Sampler beside Optuna's samplers on random conditional problems.

One JSON line: of each arm the mean distance to the optimum (of the configuration with the best
value, noise aside) over the problems, its standard error, and the difference to TPE, paired by
problem.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna

from tuner.search.sampler import Sampler
from tuner.search.tpe import JointTPESampler, Past

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)


class Problem:
    """A random problem over a space like tuner's: numbers, choices, switches, nested parameters.

    Its value is 0 at the optimum; a random configuration's has a deviation of about 1.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.at = {
            name: rng.random()
            for name in (
                "lr",
                "width",
                "depth",
                "batch",
                "momentum",
                "beta",
                "warmup",
                "dropout",
                "decay",
                "smoothing",
            )
        }
        self.weight = {name: rng.gamma(1.0) for name in self.at}
        self.on = {name: rng.random() < 0.5 for name in ("dropout", "decay", "smoothing")}
        self.gain = {name: rng.gamma(1.0) * 0.3 for name in self.on}
        self.cost = {
            "optimizer": rng.permutation([0.0, *rng.gamma(1.0, 0.3, 2)]),
            "schedule": rng.permutation([0.0, *rng.gamma(1.0, 0.3, 2)]),
        }
        self.best = {name: int(np.argmin(cost)) for name, cost in self.cost.items()}
        pairs = [("lr", "batch"), ("width", "depth"), ("lr", "width")]
        self.pairs = [(a, b, rng.normal() * 0.7) for a, b in pairs]
        self.scale = 1.0
        draws = [self._random(rng) for _ in range(400)]
        self.scale = 1 / np.std(draws)

    def _random(self, rng: np.random.Generator) -> float:
        return self(
            {n: rng.random() for n in self.at},
            {n: rng.random() < 0.5 for n in self.on},
            {n: int(rng.integers(3)) for n in self.cost},
        )

    def __call__(self, x: dict[str, float], on: dict[str, bool], which: dict[str, int]) -> float:
        active = {"lr", "width", "depth", "batch"} | {n for n in on if on[n]}
        active |= {
            ("momentum", "beta", "")[which["optimizer"]],
            "warmup" if which["schedule"] == 1 else "",
        }
        total = sum(self.weight[n] * (x[n] - self.at[n]) ** 2 for n in self.at if n in active)
        total += sum(self.gain[n] for n in on if on[n] != self.on[n])
        total += sum(cost[which[n]] for n, cost in self.cost.items())
        cross = sum(c * (x[a] - self.at[a]) * (x[b] - self.at[b]) for a, b, c in self.pairs)
        total += abs(cross)
        return float(total) * self.scale

    def ask(self, trial: Any) -> float:
        x = {"lr": math.log(trial.suggest_float("lr", 1e-4, 1.0, log=True) / 1e-4) / math.log(1e4)}
        x["width"] = math.log(trial.suggest_int("width", 8, 512, log=True) / 8) / math.log(64)
        x["depth"] = (trial.suggest_int("depth", 1, 6) - 1) / 5
        x["batch"] = (16, 32, 64, 128, 256).index(
            trial.suggest_categorical("batch", (16, 32, 64, 128, 256))
        ) / 4
        which = {
            "optimizer": ("sgd", "adam", "rms").index(
                trial.suggest_categorical("optimizer", ("sgd", "adam", "rms"))
            )
        }
        if which["optimizer"] == 0:
            x["momentum"] = trial.suggest_float("momentum", 0.0, 1.0)
        elif which["optimizer"] == 1:
            x["beta"] = trial.suggest_float("beta", 0.0, 1.0)
        which["schedule"] = ("flat", "cosine", "step").index(
            trial.suggest_categorical("schedule", ("flat", "cosine", "step"))
        )
        if which["schedule"] == 1:
            x["warmup"] = trial.suggest_float("warmup", 0.0, 1.0)
        on = {}
        for name in self.on:
            on[name] = trial.suggest_categorical(f"{name}.on", (False, True))
            if on[name]:
                x[name] = trial.suggest_float(name, 0.0, 1.0)
        return self(x, on, which)


ARMS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "tuner": lambda seed: Sampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "tpe_group": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True),
    "tpe_joint": lambda seed: JointTPESampler(Past(), seed=seed, multivariate=True),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}


def distance(arm: str, seed: int, trials: int, noise: float, flight: int) -> tuple[float, float]:
    """Of the configuration with the best value, and the seconds of the proposals."""
    problem, rng = Problem(seed), np.random.default_rng(seed + 10_000)
    study = optuna.create_study(sampler=ARMS[arm](seed))
    exact: dict[int, float] = {}
    spent, told = 0.0, 0
    while told < trials:
        wave = []
        for _ in range(min(flight, trials - told)):
            begun = time.perf_counter()
            trial = study.ask()
            value = problem.ask(trial)
            spent += time.perf_counter() - begun
            wave.append((trial, value))
        for trial, value in wave:
            exact[trial.number] = value
            study.tell(trial, value + noise * rng.standard_normal())
        told += len(wave)
    return exact[study.best_trial.number], spent / trials


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--arms", nargs="+", default=list(ARMS))
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--flight", type=int, default=1)
    given = parser.parse_args()
    found, record = {}, {}
    for arm in given.arms:
        runs = [
            distance(arm, seed, given.trials, given.noise, given.flight)
            for seed in range(given.problems)
        ]
        found[arm] = np.array([run[0] for run in runs])
        record[arm] = {
            "distance": round(found[arm].mean(), 4),
            "se": round(found[arm].std(ddof=1) / math.sqrt(given.problems), 4),
            "ms": round(1000 * float(np.median([run[1] for run in runs])), 1),
        }
        if "tpe" in found and arm != "tpe":
            gap = found[arm] - found["tpe"]
            record[arm]["to_tpe"] = [
                round(gap.mean(), 4),
                round(gap.std(ddof=1) / math.sqrt(given.problems), 4),
            ]
    print(json.dumps({**vars(given), "arms": record}))


if __name__ == "__main__":
    main()
