"""How to reproduce the winner: its configuration, versions, seeds and commands."""

from __future__ import annotations

from tuner import imports
from tuner.output import toml_document
from tuner.reports.facts import Facts
from tuner.reports.parts import Code, Grid, Part, Words
from tuner.show.best import pasted


def configuration_parts(facts: Facts) -> tuple[Part, ...]:
    """The chosen configuration, the study file, seeds, versions and commands."""
    parts: list[Part] = []
    chosen = facts.chosen
    if chosen is None:
        parts.append(Words("No trial is complete yet, so there is no configuration to show."))
    else:
        caption = (
            f"Trial {chosen.number} as sections of a study file; values that are off are omitted"
        )
        parts.append(Code(pasted(facts.study, chosen.config), "toml", caption))
    parts.append(Code(toml_document(facts.study.document), "toml", "The study file"))
    parts.append(Code("\n".join(commands(facts)), "bash", "To reproduce"))
    rows = tuple(versions().items())
    parts.append(Grid("Versions where this report was written", ("", "version"), rows, 2))
    rows = tuple(seeds(facts).items())
    parts.append(Grid("Seeds and where it ran", ("", "value"), rows, 2))
    return tuple(parts)


def commands(facts: Facts) -> list[str]:
    """Commands for the search, one trial from the database alone, and `confirm` and `ablate`."""
    seed = facts.study.search.seed
    epochs = facts.progress.epochs
    budget = f"--trials {facts.progress.budget}" if epochs is None else f"--epochs {epochs}"
    lines = [facts.command("optimize", f"{budget} --seed {seed}")]
    chosen = facts.chosen
    if chosen is not None:
        lines.append(facts.command("retrain", f"--trial {chosen.number}"))
    for answer in (facts.answers.confirmation, facts.answers.ablation):
        if answer is not None and answer.asked is not None:
            lines.append(f"{answer.asked.command} {facts.option}".strip())
    return lines


def seeds(facts: Facts) -> dict[str, str]:
    chosen = facts.chosen
    devices = sorted({str(e.facts["device"]) for e in facts.entries if "device" in e.facts})
    rows = {
        "seed of the study": str(facts.study.search.seed),
        "database": facts.storage,
        "devices": ", ".join(devices) or "unknown",
    }
    if "seed" in facts.study.rows:
        rows["seed of the split"] = str(facts.study.rows["seed"])
    if chosen is not None and "seed" in chosen.facts:
        rows[f"seed of trial {chosen.number}"] = str(chosen.facts["seed"])
    return rows


def versions() -> dict[str, str]:
    """The installed versions of Python and of the packages that affect numbers."""
    installed = imports.versions()
    return {name: installed.get(name, "unknown") for name in ("python", *imports.PACKAGES)}
