"""The digits study through the command line against the same search as a plain Optuna script.

Both are timed as whole processes, in turn, and both use two processes with one torch thread each:
the same space, sampler, pruner, budget, data split and network. The rival's loop is written as its
users write it, without a DataLoader so that it is not slowed down by one. Prints one JSON line.

    python tests/benchmarks/digits_study.py [--runs 3]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TRIALS, EPOCHS, BATCH = 60, 30, 64


def rival_network(trial: Any, nn: Any) -> Any:
    layers: list[Any] = []
    entering = 64
    width = trial.suggest_categorical("width", [32, 64, 128, 256])
    batch_norm = trial.suggest_categorical("batch_norm", [True, False])
    dropout = 0.0
    if trial.suggest_categorical("dropout.on", [False, True]):
        dropout = trial.suggest_float("dropout", 0.05, 0.6)
    for _ in range(trial.suggest_int("depth", 1, 4)):
        layers.append(nn.Linear(entering, width))
        layers += [nn.BatchNorm1d(width)] if batch_norm else []
        layers.append(nn.ReLU())
        layers += [nn.Dropout(dropout)] if dropout else []
        entering = width
    return nn.Sequential(*layers, nn.Linear(entering, 10))


def rival_training(trial: Any, network: Any, steps: int) -> tuple[Any, Any, float]:
    import torch

    def switch(name: str, low: float, high: float) -> float:
        if trial.suggest_categorical(f"{name}.on", [False, True]):
            return float(trial.suggest_float(name, low, high, log=True))
        return 0.0

    l1, decay = switch("l1_lambda", 1e-7, 1e-3), switch("weight_decay", 1e-6, 1e-1)
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    name = trial.suggest_categorical("optimizer", ["adam", "rmsprop", "sgd"])
    parameters = network.parameters()
    if name == "adam":
        optimizer: Any = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    elif name == "rmsprop":
        optimizer = torch.optim.RMSprop(parameters, lr=rate, weight_decay=decay)
    else:
        momentum = trial.suggest_float("sgd.momentum", 0.0, 0.99)
        optimizer = torch.optim.SGD(parameters, lr=rate, momentum=momentum, weight_decay=decay)
    schedule = trial.suggest_categorical(
        "lr_scheduler", ["constant", "exponential", "cosine", "polynomial"]
    )
    schedulers = torch.optim.lr_scheduler
    if schedule == "exponential":
        scheduler: Any = schedulers.ExponentialLR(optimizer, 0.01 ** (1 / steps))
    elif schedule == "cosine":
        scheduler = schedulers.CosineAnnealingLR(optimizer, steps)
    elif schedule == "polynomial":
        power = trial.suggest_float("polynomial.power", 0.5, 3.0)
        scheduler = schedulers.PolynomialLR(optimizer, steps, power)
    else:
        scheduler = schedulers.ConstantLR(optimizer, 1.0)
    return optimizer, scheduler, l1


def rival_worker(url: str, seed: int) -> None:
    import optuna
    import torch
    from torch import nn

    from tuner.data import DataSpec, load

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    data = load(DataSpec(source="sklearn.datasets:load_digits"))
    x, y, loss_of = data.train.x, data.train.y, nn.CrossEntropyLoss()
    steps = EPOCHS * -(-len(x) // BATCH)

    def objective(trial: Any) -> float:
        network = rival_network(trial, nn)
        optimizer, scheduler, l1 = rival_training(trial, network, steps)
        accuracy = 0.0
        for epoch in range(EPOCHS):
            network.train()
            for rows in torch.randperm(len(x)).split(BATCH):
                loss = loss_of(network(x[rows]), y[rows])
                if l1:
                    loss = loss + l1 * sum(
                        p.abs().sum() for p in network.parameters() if p.dim() > 1
                    )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
            network.eval()
            with torch.no_grad():
                right = network(data.validation.x).argmax(1) == data.validation.y
                accuracy = float(right.float().mean())
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return accuracy

    study = optuna.load_study(
        study_name="digits",
        storage=url,
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.HyperbandPruner(max_resource=EPOCHS),
    )
    study.optimize(objective, n_trials=TRIALS // 2)


def rival(folder: Path, seed: int) -> dict[str, Any]:
    """The script's two processes; how long they took and what they found."""
    url = f"sqlite:///{folder / 'rival.db'}"
    study = f"study_name='digits', storage={url!r}, direction='maximize'"
    create = f"import optuna; optuna.create_study({study})"
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", create], check=True, stderr=subprocess.DEVNULL
    )
    command = [sys.executable, "-W", "ignore", __file__, "--rival", url, "--seed"]
    workers = [subprocess.Popen([*command, str(2 * seed + i)]) for i in range(2)]
    codes = [worker.wait() for worker in workers]
    if any(codes):
        raise SystemExit("the rival failed")
    return outcome(url, "digits", time.perf_counter() - started)


def ours(folder: Path, seed: int) -> dict[str, Any]:
    url = f"sqlite:///{folder / 'tuner.db'}"
    command = [str(Path(sys.executable).parent / "tuner"), "optimize", "--study", "digits"]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--storage", url, "--workers", "2", "--seed", str(seed), "--json"],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - started
    return outcome(url, "digits", seconds) | {"spent": json.loads(done.stdout).get("spent")}


def outcome(url: str, name: str, seconds: float) -> dict[str, Any]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name=name, storage=url)
    trials = study.trials
    return {
        "seconds": round(seconds, 2),
        "best": round(study.best_value, 4),
        "finished": sum(t.state.is_finished() for t in trials),
        "epochs": sum(len(t.intermediate_values) for t in trials),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rival")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.rival:
        rival_worker(arguments.rival, arguments.seed)
        return
    os.environ.pop("TUNER_STORAGE", None)
    runs: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for seed in range(arguments.runs):
        with tempfile.TemporaryDirectory() as folder:
            runs.append((ours(Path(folder), seed), rival(Path(folder), seed)))
    ratios = [a["seconds"] / b["seconds"] for a, b in runs]
    print(
        json.dumps(
            {
                "benchmark": "digits_study",
                "ratio": round(statistics.median(ratios), 3),
                "ratios": [round(r, 3) for r in ratios],
                "tuner": [a for a, _ in runs],
                "optuna": [b for _, b in runs],
            }
        )
    )


if __name__ == "__main__":
    main()
