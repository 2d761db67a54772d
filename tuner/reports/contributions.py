"""What each technique contributes: by experiment, and by what the search saw."""

from __future__ import annotations

import math

from tuner.answers.main_effects import MainEffect
from tuner.answers.pooled import METHOD
from tuner.reports.effect_figures import VIEWS
from tuner.reports.facts import Facts
from tuner.reports.parts import Chart, Grid, Part, Words
from tuner.views.answers import unfinished
from tuner.views.format import difference, number


def contributions(facts: Facts) -> tuple[Part, ...]:
    """The ablation, then raw main effects and importances, each marked as what it is."""
    effects = facts.pooled.effects
    parts: list[Part] = list(_ablation(facts))
    if not effects:
        parts.append(Words("The study searches no technique, so there is none to compare."))
    elif not any(each.with_it or each.without for each in effects):
        parts.append(Words("No complete trial has a technique on or off yet."))
    else:
        parts += _mains(facts, effects)
    if facts.pooled.importances:
        parts += _importances(facts)
    return tuple(parts)


def _ablation(facts: Facts) -> tuple[Part, ...]:
    found = facts.answers.ablation
    if found is None:
        if not facts.techniques:
            return ()
        command = facts.command("ablate")
        text = "No experiment has switched techniques off one by one yet: "
        return (Words(f"{text}`{command}` does. What follows is from the search alone."),)
    rows = tuple(
        (
            effect.technique,
            VIEWS.get(effect.view, (effect.view, ""))[0],
            difference(effect.difference.mean, 0.0),
            _interval(effect.difference.low, effect.difference.high),
            str(len(effect.difference.values)),
        )
        for effect in found.effects
    )
    left = unfinished(found, facts.option)
    more = (Words(f"The experiment is {left}."),) if left else ()
    if not rows:
        return more
    columns = ("technique", "experiment", "gain", "95% interval", "seeds")
    return (
        *more,
        *(Words(effect.words) for effect in found.effects if effect.view == "off"),
        Chart("ablation", "By experiment, over seeds, with 95% intervals.", "see the table"),
        Grid(f"Gain in {facts.metric} over seeds", columns, rows, first_number=2),
    )


def _signed(value: float | None) -> str:
    return "–" if value is None else difference(value, 0.0)


def _interval(low: float | None, high: float | None) -> str:
    """One seed, or one trial, has none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return "–"
    return f"{_signed(low)} to {_signed(high)}"


def _mains(facts: Facts, effects: tuple[MainEffect, ...]) -> list[Part]:
    rows = tuple(
        (
            each.technique,
            f"{number(each.on)} ({each.with_it:,})",
            f"{number(each.off)} ({each.without:,})",
            _signed(each.gain),
            _interval(each.low, each.high),
        )
        for each in effects
    )
    text = (
        "Main effects in the search: the mean of the complete trials with a technique against "
        "those without it. The sampler chose these trials, everything else varies between "
        "them, and pruned trials are left out: a hint, no proof."
    )
    columns = ("technique", "on (trials)", "off (trials)", "gain", "95% interval")
    grid = Grid(f"Main effects on {facts.metric}; positive is better", columns, rows)
    if not any(each.gain is not None for each in effects):
        return [Words(text), grid]
    return [Words(text), Chart("mains", "Main effects in the search.", "see the table"), grid]


def _importances(facts: Facts) -> list[Part]:
    rows = tuple((name, f"{share:.1%}") for name, share in facts.pooled.importances.items())
    text = (
        f"Importances by {METHOD}, which Optuna computes from the complete trials of the search: "
        "how much each parameter explains of the difference between good trials and the rest, "
        "not in which direction. A parameter that only some trials have is judged among those "
        "(conditional PED-ANOVA); name.on is a switch."
    )
    caption = f"Importances ({METHOD})"
    chart = Chart("importances", f"{caption}, from the search.", "see the table")
    return [Words(text), chart, Grid(caption, ("parameter", "share"), rows, folded=True)]
