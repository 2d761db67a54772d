"""Formats the results of `confirm` and `ablate` as words and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tuner.results.ablate import OFF, ON, PATH
from tuner.results.confirm import BASELINE, Measured
from tuner.results.surrogate import FEWEST, METHOD
from tuner.results.words import amount, rows_of
from tuner.results.yardsticks import Rival
from tuner.show.tables import plain_table
from tuner.show.text import difference, number, several
from tuner.study.trials import left_out_words

if TYPE_CHECKING:
    from tuner.results.ablate import Ablation
    from tuner.results.calibration import Calibration
    from tuner.results.confirm import Confirmation
    from tuner.results.estimate import Estimate, OfRows
    from tuner.results.pooled import MainEffect


TITLES = {
    OFF: "switched off alone in trial {number}",
    ON: "switched on alone over the baseline",
    PATH: "one after the other from the baseline to trial {number}, largest gain first",
}


OWN_MEASURE = (
    "the numbers are the objective's own, measured as in the search: tuner knows no test rows of it"
)


def interval(estimate: Estimate | OfRows | None) -> str:
    """A mean with its interval, such as "0.9722 (0.9651 to 0.9793)"."""
    if estimate is None:
        return "\N{EN DASH}"
    if math.isnan(estimate.low):
        return number(estimate.mean)
    return f"{number(estimate.mean)} ({number(estimate.low)} to {number(estimate.high)})"


def confirmed(confirmation: Confirmation) -> RenderableType:
    """The verdict, and a row for each configuration."""
    table = Table(box=None, pad_edge=False)
    measured = ("own objective",) if confirmation.own_objective else ("validation", "test")
    for title in ("configuration", *measured, "sd over seeds", "seeds"):
        table.add_column(title)
    for each in confirmation.rows:
        best = each is confirmation.winner
        sd = (each.test or each.validation).sd
        row = [each.label, interval(each.validation)]
        row += [] if confirmation.own_objective else [interval(each.test)]
        row += ["" if math.isnan(sd) else number(sd), seeds_of(each, confirmation)]
        table.add_row(*row, style="bold" if best else "")
    for label, seeds in confirmation.too_few.items():
        count = _seed_count(seeds, confirmation)
        table.add_row(label, *["\N{EN DASH}"] * (len(measured) + 1), f"{count}, not compared")
    line = ensemble_line(confirmation)
    together = [Text(), Text(line)] if line else []
    if probabilities := calibration_line(confirmation):
        together += [Text(), Text(probabilities)]
    if confirmation.own_objective:
        together += [Text(), Text(OWN_MEASURE)]
    parts = [Text(verdict(confirmation)), Text(), table, *together, *_rivals(confirmation)]
    return Group(*parts, *_left_out(confirmation))


def _rivals(confirmation: Confirmation) -> list[RenderableType]:
    """A line for each yardstick, and for the baseline beside them."""
    lines = rival_rows(confirmation)
    if not lines:
        return []
    table = plain_table(*rival_columns(confirmation))
    for cells in lines:
        table.add_row(*cells)
    return [Text(), Text(rival_caption(confirmation), style="bold"), table]


def rival_caption(confirmation: Confirmation) -> str:
    """What the table of yardsticks shows."""
    rows = rows_of(_split(confirmation), confirmation.folds)
    return f"without a search, on the same {rows}; gains with 95% intervals over seeds and rows"


def rival_columns(confirmation: Confirmation) -> tuple[str, ...]:
    """The titles of the table of yardsticks."""
    return (
        "",
        confirmation.metric,
        f"against {_judged(confirmation)}",
        "verdict",
        "remark",
    )


def rival_rows(confirmation: Confirmation) -> tuple[tuple[str, ...], ...]:
    """The cells of the table of yardsticks, the best first; none if no yardstick was measured."""
    if all(each.name == BASELINE for each in confirmation.rivals):
        return ()
    known = (-math.inf if each.gain is None else each.gain for each in confirmation.rivals)
    ranked = sorted(zip(known, confirmation.rivals, strict=True), key=itemgetter(0), reverse=True)
    return tuple(
        (each.name, number(each.value), _gain(each, confirmation), _judgement(each), each.note)
        for _, each in ranked
    )


def _gain(rival: Rival, confirmation: Confirmation) -> str:
    if rival.gain is None:
        return "\N{EN DASH}"
    known = None if rival.low is None or rival.high is None else (rival.low, rival.high)
    return amount(rival.gain, known, confirmation.metric, confirmation.direction)


def _judgement(rival: Rival) -> str:
    if rival.gain is None:
        return ""
    if rival.low is None or rival.high is None:
        return "too few rows or seeds to tell"
    if rival.wins:
        return "wins"
    return "loses" if rival.high < 0 else "no clear difference"


def beaten(confirmation: Confirmation) -> str:
    """The headline where the baseline or a yardstick wins; else empty.

    A rival wins where the whole 95% interval of its gain over the winner of `confirm`, or the
    ensemble where that is the answer, is above zero. The baseline also wins where it is that
    winner.
    """
    wins = sorted((r for r in confirmation.rivals if r.wins), key=lambda r: -(r.gain or 0.0))
    parts = [_beats(wins, confirmation)] if wins else []
    if confirmation.judged is confirmation.baseline:
        who = "" if wins else "the baseline wins: "
        better = " than the baseline" if wins else ""
        parts.append(f"{who}no confirmed configuration is better{better} on the validation rows")
    return "; ".join(parts)


def _beats(wins: Sequence[Rival], confirmation: Confirmation) -> str:
    """The best of those that win, and by how much; and the names of the others."""
    (first, *others), judged = wins, confirmation.judged
    own = _estimate(judged) if isinstance(judged, Measured) else judged.test
    text = f"{_named(first.name)} beats {_judged(confirmation)} on the {_split(confirmation)} rows"
    text += f": {confirmation.metric} {number(first.value)} against "
    text += f"{number(None if own is None else own.mean)}, {_gain(first, confirmation)}"
    return f"{text}; so {_does([each.name for each in others])}" if others else text


def _judged(confirmation: Confirmation) -> str:
    judged = confirmation.judged
    return _named(judged.label) if isinstance(judged, Measured) else "the ensemble"


def _named(name: str) -> str:
    return "the baseline" if name == BASELINE else name


def _does(names: Sequence[str]) -> str:
    """
    >>> _does(["ridge regression", "median", "baseline"])
    'do ridge regression, median and the baseline'
    """
    *before, last = map(_named, names)
    return f"do {', '.join(before)} and {last}" if before else f"does {last}"


def _split(confirmation: Confirmation) -> str:
    """The rows on which the winner is judged."""
    return "validation" if confirmation.winner.test is None else "test"


def _left_out(answer: Confirmation | Ablation) -> list[RenderableType]:
    words = left_out_words(answer.left_out)
    return [Text(), Text(words)] if words else []


def seeds_of(row: Measured, confirmation: Confirmation) -> str:
    """How many seeds a configuration has, on both splits where these differ, and why it was
    stopped."""
    if row.stopped is not None:
        behind, margin = number(row.stopped.behind), number(row.stopped.margin)
        return f"stopped after {row.stopped.seeds}: worse by {behind} \N{PLUS-MINUS SIGN} {margin}"
    validation = len(row.validation.values)
    tested = 0 if row.test is None else len(row.test.values)
    if tested in (0, validation):
        return _seed_count(validation, confirmation)
    return f"{_seed_count(validation, confirmation)} on validation, {tested} on test"


def _seed_count(seeds: int, confirmation: Confirmation) -> str:
    """The number of seeds, such as "5", or "3 of 5" where some are missing."""
    asked = seeds if confirmation.asked is None else confirmation.asked.seeds
    return str(seeds) if seeds == asked else f"{seeds} of {asked}"


def unfinished(answer: Confirmation | Ablation, option: str = "") -> str:
    """What is left to train of a request, and the command for it; empty if nothing is left.

    Args:
        option: an option that the command needs too, such as the database.
    """
    return "" if answer.asked is None else answer.asked.left(option)


def verdict(confirmation: Confirmation) -> str:
    """Who beats the winner, the winner, its value over the seeds, and what is left to train."""
    parts = (beaten(confirmation), _verdict(confirmation), unfinished(confirmation))
    return "; ".join(part for part in parts if part)


def _verdict(confirmation: Confirmation) -> str:
    winner = confirmation.winner
    seeds = several(len(_estimate(winner).values), "seed")
    where = f"on the {rows_of(_split(confirmation), confirmation.folds)}"
    if confirmation.own_objective:
        where = "by its own objective"
    text = f"{confirmation.study}: {winner.label} has {confirmation.metric} "
    text += f"{interval(_estimate(winner))} {where} over {seeds}"
    if confirmation.baseline in (None, winner):
        return text
    return f"{text}; the baseline {interval(_estimate(confirmation.baseline))}"


def ensemble_line(confirmation: Confirmation) -> str:
    """What averaging several of the trainings is worth; empty where that was not asked for."""
    ensemble = confirmation.ensemble
    if ensemble is None:
        return ""
    name = f"an ensemble of {several(len(ensemble.members), 'network')}"
    gain = f"{difference(ensemble.gain, 0.0)} (standard error {number(ensemble.error)})"
    unseen = "on rows of the search that its choice has not seen"
    if math.isnan(ensemble.error):
        return f"{name} is not used: too few rows to say whether it helps"
    if not ensemble.helps:
        return f"{name} is not used: {unseen} it gains {gain} in {confirmation.metric}"
    if ensemble.test is None or ensemble.test_gain is None:
        return f"{name} gains {gain} in {confirmation.metric} over one network, {unseen}"
    low, high = (
        difference(each, 0.0) for each in (ensemble.test_gain.low, ensemble.test_gain.high)
    )
    return (
        f"{name} has {confirmation.metric} {interval(ensemble.test)} on the test rows, "
        f"{difference(ensemble.test_gain.mean, 0.0)} ({low} to {high}) over one network of "
        f"{confirmation.winner.label}; {unseen} it gains {gain}"
    )


def calibration_line(confirmation: Confirmation) -> str:
    """What a temperature does to the probabilities of the answer; empty where there is none."""
    of = "the ensemble" if confirmation.answer is not None else confirmation.winner.label
    known = confirmation.calibration
    return "" if known is None else f"probabilities of {of} {temperature(known)}"


def temperature(known: Calibration) -> str:
    """A temperature in words, and what it is worth."""
    gain = f"{number(known.gain)} (standard error {number(known.error)})"
    unseen = "on rows of the search that its fit has not seen"
    if not known.helps:
        text = "stay as they are: "
        return f"{text}{unseen}, a temperature takes {gain} off the log loss"
    text = f"have the temperature {known.temperature:.3g}, which {unseen} takes {gain} off the "
    text += "log loss"
    if known.before is None or known.after is None:
        return text
    return (
        f"{text}; on the test rows it is {number(known.after)} in place of {number(known.before)}"
    )


def _estimate(measured: Measured) -> Estimate:
    """The estimate on the test rows, or on the validation rows if there is none."""
    return measured.test or measured.validation


def ablated(ablation: Ablation) -> RenderableType:
    """A sentence for each technique, by view, and the main effects over the search's trials."""
    where = rows_of(ablation.rows, ablation.folds)
    chosen = "confirmed" if ablation.confirmed else "not confirmed yet: run `tuner confirm`"
    parts: list[RenderableType] = [
        Text(
            f"{ablation.study}: what each technique adds to {ablation.metric} on the {where}, "
            f"over {several(ablation.seeds, 'seed')} (trial {ablation.number}, {chosen})"
        )
    ]
    for view, title in TITLES.items():
        words = [effect.words for effect in ablation.effects if effect.view == view]
        if words:
            parts += [Text(), Text(title.format(number=ablation.number), style="bold")]
            parts += [Text(f"  {each}") for each in words]
    if left := unfinished(ablation):
        parts += [Text(), Text(left)]
    return Group(*parts, *_pooled(ablation), *_left_out(ablation))


def _pooled(ablation: Ablation) -> list[RenderableType]:
    """Main effects and importances, under a title that says that they are no experiment."""
    pooled = ablation.pooled
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
            _main_effect(each, ablation),
            f"{each.with_it:,} : {each.without:,}",
            "" if share is None else f"{share:.0%}",
        )
    parts: list[RenderableType] = [Text(), Text(title, style="bold"), table]
    if not pooled.importances:
        parts.append(Text(f"  importances need {FEWEST} results that differ"))
    return parts


def _main_effect(effect: MainEffect, ablation: Ablation) -> str:
    if effect.gain is None:
        return "\N{EN DASH}"
    interval = None if effect.low is None or effect.high is None else (effect.low, effect.high)
    return amount(effect.gain, interval, ablation.metric, ablation.direction)


def document(answer: Confirmation | Ablation) -> dict[str, Any]:
    """The whole answer, for JSON."""
    from tuner.results.confirm import Confirmation

    record = asdict(answer)
    if isinstance(answer, Confirmation) and answer.ensemble is not None:
        record["ensemble"] |= {"helps": answer.ensemble.helps, "line": ensemble_line(answer)}
    if isinstance(answer, Confirmation) and answer.calibration is not None:
        record["probabilities"] = calibration_line(answer)
    return record
