"""Search quality: tuner.Sampler beside Optuna's samplers, and trials that pause beside pruned ones.

One JSON line. On random conditional problems: of each arm the mean distance to the optimum (of the
configuration with the best value, noise aside) over the problems, its standard error, and the
difference to TPE, paired by problem. On recorded tables: the same of the regret, for each table. On
recorded curves: the regret after epochs worth 4, 8 and 12 full trainings of a simulated pool of
workers, beside TPE with Hyperband, for each table.

    python tests/benchmarks/search.py [--on problems] [--noise 0.2] [--flight 8]
    python tests/benchmarks/search.py --on tables [--smooth] [--rows] [--choices] [--flight 8]
    python tests/benchmarks/search.py --on curves [--workers 8] [--baseline]
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
import recorded
from recorded import EPOCHS, Budget, Pool, Table

from tuner.search.gp import JointGPSampler
from tuner.search.promote import Promotion
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
    "gp_joint": lambda seed: JointGPSampler(seed=seed),
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


# Recorded tables, and their curves trained by a simulated pool of workers.


def on_table(arm: str, seed: int, table: Table, given: argparse.Namespace) -> float:
    """The regret of the configuration with the best value."""
    study, rng = optuna.create_study(sampler=ARMS[arm](seed)), np.random.default_rng(seed)
    configs: list[int] = []
    while len(configs) < given.trials:
        wave = [study.ask() for _ in range(min(given.flight, given.trials - len(configs)))]
        configs += [table.ask(trial, given.choices) for trial in wave]
        for trial in wave:
            value = table.value(configs[trial.number], rng if given.rows else None)
            if math.isfinite(value):
                study.tell(trial, value)
            else:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    return table.regret(configs[study.best_trial.number])


def tpe(seed: int) -> optuna.samplers.BaseSampler:
    """TPE with the options of a study of ours."""
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


def by_tpe(pool: Pool) -> dict[str, Any]:
    """The parameters that TPE proposes when it takes trials that are paused for pruned."""
    view = optuna.create_study(sampler=tpe(len(pool.configs) + 1000 * pool.seed))
    for trial in pool.trials():
        view.add_trial(recorded.as_pruned(trial) if trial.number in pool.paused else trial)
    trial = view.ask()
    pool.table.ask(trial)
    return trial.params


def pool_of(arm: str, seed: int, table: Table, workers: int) -> Pool:
    """A pool for an arm: a sampler, and what ends or pauses trials."""
    proposer, _, ending = arm.partition("+")
    sampler = tpe(seed) if proposer == "tpe" else ARMS[proposer](seed)
    pruner: optuna.pruners.BasePruner = {
        "hyperband": optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EPOCHS),
        "asha": optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    }.get(ending, optuna.pruners.NopPruner())
    study = optuna.create_study(sampler=sampler, pruner=pruner, study_name=f"seed {seed}")
    pauses = ending == "promote"
    rule = Promotion(1.0, EPOCHS) if pauses else None
    return Pool(study, table, seed, rule, by_tpe if pauses and proposer == "tpe" else None, workers)


CURVE_ARMS = (
    "tpe+hyperband",
    "tpe+asha",
    "random+promote",
    "tpe+promote",
    "tuner+promote",
    "sceptic",
)
FULL = (4, 8, 12)


def on_curves(arm: str, seed: int, table: Table, given: argparse.Namespace) -> list[float]:
    """The regret after epochs worth each of FULL; or after so many trials, and their epochs."""
    if arm == "sceptic":
        return [recorded.sceptic(table, seed, full * EPOCHS, given.best) for full in FULL]
    pool = pool_of(arm, seed, table, given.workers)
    if given.baseline:
        pool.baseline = True
        pool.study.enqueue_trial(recorded.BASELINE)
    if given.budget == "trials":
        return [*pool.run(Budget(trials=given.trials)), pool.spent]
    return pool.run(Budget(epochs=tuple(full * EPOCHS for full in FULL)))


def recorded_regrets(given: argparse.Namespace) -> dict[str, Any]:
    """For each table and arm the mean regret and its standard error, and beside the rival's: the
    ratio, and the difference with its standard error, paired by seed; and these over all tables."""
    curves = given.on == "curves"
    regrets: dict[str, dict[str, Any]] = {}
    for name in given.tables:
        table = Table(name, given.smooth)
        regrets[name] = {
            arm: np.array(
                [
                    (on_curves if curves else on_table)(arm, seed, table, given)
                    for seed in range(given.seeds)
                ]
            )
            for arm in given.arms
        }
    regrets["all"] = {
        arm: np.mean([regrets[name][arm] for name in given.tables], axis=0) for arm in given.arms
    }
    return {name: beside(each, given.rival) for name, each in regrets.items()}


def beside(regrets: dict[str, Any], rival: str) -> dict[str, Any]:
    def rounded(numbers: Any) -> Any:
        return np.round(numbers, 4).tolist()

    def se(numbers: Any) -> Any:
        return numbers.std(0, ddof=1) / math.sqrt(len(numbers))

    return {
        arm: {"regret": rounded(mine.mean(0)), "se": rounded(se(mine))}
        | (
            {}
            if arm == rival or rival not in regrets
            else {
                "ratio": rounded(mine.mean(0) / regrets[rival].mean(0)),
                "gap": rounded((mine - regrets[rival]).mean(0)),
                "gap_se": rounded(se(mine - regrets[rival])),
            }
        )
        for arm, mine in regrets.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--on", choices=("problems", "tables", "curves"), default="problems")
    parser.add_argument("--arms", nargs="+")
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--flight", type=int, default=1)
    parser.add_argument("--tables", nargs="+", default=list(recorded.KINDS))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--smooth", action="store_true", help="average neighbouring levels")
    parser.add_argument("--rows", action="store_true", help="with the noise of 300 rows")
    parser.add_argument("--choices", action="store_true", help="every parameter is a choice")
    parser.add_argument("--workers", type=int, default=1, help="of the pool on curves")
    parser.add_argument("--baseline", action="store_true", help="trial 0 is it, and never pauses")
    parser.add_argument("--budget", choices=("epochs", "trials"), default="epochs")
    parser.add_argument("--best", type=int, default=3, help="how many the sceptic keeps")
    given = parser.parse_args()
    given.arms = given.arms or list(CURVE_ARMS if given.on == "curves" else ARMS)
    given.rival = "tpe+hyperband" if given.on == "curves" else "tpe"
    if given.on != "problems":
        print(json.dumps({**vars(given), "regrets": recorded_regrets(given)}))
        return
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
