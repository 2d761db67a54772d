"""Formats the results of `confirm` and `ablate` as words and tables."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tuner.results.ablate import OFF, ON, PATH
from tuner.results.pooled import FEWEST, METHOD
from tuner.results.words import amount, rows_of
from tuner.show.tables import plain_table
from tuner.show.text import number, several
from tuner.study.trials import left_out_words

if TYPE_CHECKING:
    from tuner.results.ablate import Ablation
    from tuner.results.confirm import Confirmation, Measured
    from tuner.results.estimate import Estimate
    from tuner.results.pooled import MainEffect


TITLES = {
    OFF: "switched off alone in trial {number}",
    ON: "switched on alone over the baseline",
    PATH: "one after the other from the baseline to trial {number}, largest gain first",
}


def interval(found: Estimate | None) -> str:
    """A mean with its interval, such as "0.9722 (0.9651 to 0.9793)"."""
    if found is None:
        return "\N{EN DASH}"
    if math.isnan(found.low):
        return number(found.mean)
    return f"{number(found.mean)} ({number(found.low)} to {number(found.high)})"


def confirmed(found: Confirmation) -> RenderableType:
    """The verdict, and a row for each configuration."""
    table = Table(box=None, pad_edge=False)
    for title in ("configuration", "validation", "test", "sd over seeds", "seeds"):
        table.add_column(title)
    for each in found.rows:
        best = each is found.winner
        sd = (each.test or each.validation).sd
        row = [each.label, interval(each.validation), interval(each.test)]
        row += ["" if math.isnan(sd) else number(sd), seeds_of(each, found)]
        table.add_row(*row, style="bold" if best else "")
    for label, seeds in found.too_few.items():
        table.add_row(label, *["\N{EN DASH}"] * 3, f"{_of_asked(seeds, found)}, not compared")
    return Group(Text(verdict(found)), Text(), table, *_left_out(found))


def _left_out(found: Confirmation | Ablation) -> list[RenderableType]:
    words = left_out_words(found.left_out)
    return [Text(), Text(words)] if words else []


def seeds_of(row: Measured, found: Confirmation) -> str:
    """How many seeds a configuration has, on both splits where these differ."""
    validation = len(row.validation.values)
    tested = 0 if row.test is None else len(row.test.values)
    if tested in (0, validation):
        return _of_asked(validation, found)
    return f"{_of_asked(validation, found)} on validation, {tested} on test"


def _of_asked(seeds: int, found: Confirmation) -> str:
    asked = seeds if found.asked is None else found.asked.seeds
    return str(seeds) if seeds == asked else f"{seeds} of {asked}"


def unfinished(found: Confirmation | Ablation, option: str = "") -> str:
    """What is left of a request and what to do about it; empty if nothing is left.

    Args:
        option: what the command needs besides, such as the database.
    """
    return "" if found.asked is None else found.asked.left(option)


def verdict(found: Confirmation) -> str:
    """Which configuration, how good it really is, and whether all of it is trained."""
    left = unfinished(found)
    return f"{_verdict(found)}; {left}" if left else _verdict(found)


def _verdict(found: Confirmation) -> str:
    winner = found.winner
    seeds = several(len(_of(winner).values), "seed")
    rows = "test" if winner.test else "validation"
    said = f"{found.study}: {winner.label} has {found.metric} {interval(_of(winner))}"
    said += f" on the {rows_of(rows, found.folds)} over {seeds}"
    if winner is found.baseline:
        return f"{said}; no confirmed configuration is better on the validation rows"
    if found.baseline is None:
        return said
    return f"{said}; the baseline {interval(_of(found.baseline))}"


def _of(measured: Measured) -> Estimate:
    return measured.test or measured.validation


def ablated(found: Ablation) -> RenderableType:
    """A sentence for each technique, by view, and what the search's trials say beside it."""
    where = rows_of(found.rows, found.folds)
    chosen = "confirmed" if found.confirmed else "not confirmed yet: run `tuner confirm`"
    parts: list[RenderableType] = [
        Text(
            f"{found.study}: what each technique adds to {found.metric} on the {where}, "
            f"over {several(found.seeds, 'seed')} (trial {found.number}, {chosen})"
        )
    ]
    for view, title in TITLES.items():
        words = [effect.words for effect in found.effects if effect.view == view]
        if words:
            parts += [Text(), Text(title.format(number=found.number), style="bold")]
            parts += [Text(f"  {each}") for each in words]
    if left := unfinished(found):
        parts += [Text(), Text(left)]
    return Group(*parts, *_pooled(found), *_left_out(found))


def _pooled(found: Ablation) -> list[RenderableType]:
    """Main effects and importances, marked as what they are."""
    pooled = found.pooled
    if not pooled.effects:
        return []
    trials = several(pooled.trials, "complete trial")
    title = f"pooled from {trials} of the search, chosen by the sampler: a hint, not an experiment"
    importance = f"importance ({METHOD})" if pooled.importances else ""
    table = plain_table("  technique", "main effect", "with : without", importance)
    for each in pooled.effects:
        share = pooled.importance(each.technique)
        table.add_row(
            "  " + each.technique.replace("_", " "),
            _main(each, found),
            f"{each.with_it:,} : {each.without:,}",
            "" if share is None else f"{share:.0%}",
        )
    parts: list[RenderableType] = [Text(), Text(title, style="bold"), table]
    if not pooled.importances:
        parts.append(Text(f"  importances need {FEWEST} complete trials that differ"))
    return parts


def _main(effect: MainEffect, found: Ablation) -> str:
    if effect.gain is None:
        return "\N{EN DASH}"
    interval = None if effect.low is None or effect.high is None else (effect.low, effect.high)
    return amount(effect.gain, interval, found.metric, found.direction)


def document(found: Confirmation | Ablation) -> dict[str, Any]:
    """All of it, for JSON."""
    return asdict(found)
