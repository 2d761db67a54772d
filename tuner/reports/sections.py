"""The sections of a report, in the order in which they are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median, pstdev

from tuner.reports.facts import Bins, Entry, Facts, Outcome
from tuner.reports.figures import CURVED, MARKED, VIEW_STYLES, best_so_far, spread
from tuner.reports.parts import Chart, Grid, Part, Section, Words
from tuner.reports.reproduce import configuration_parts
from tuner.reports.space_figures import (
    MOST_PARAMETERS,
    MOST_SLICES,
    best_regions,
    ranked,
    shown_value,
    sliced,
)
from tuner.reports.time_spent import ended_in_order, time_spent
from tuner.reports.verdict import failures, signed, verdict
from tuner.results.pooled import MainEffect
from tuner.results.surrogate import ENOUGH, FEWEST, METHOD, Belief, Surrogate
from tuner.show.answers import (
    interval,
    rival_caption,
    rival_columns,
    rival_rows,
    seeds_of,
    unfinished,
)
from tuner.show.text import difference, number, several

# The test split: only results that `confirm` stored; a report reads no test row.


def held_out(facts: Facts) -> tuple[Part, ...]:
    """The numbers of `confirm`, or which command gives them."""
    confirmation = facts.answers.confirmation
    if facts.own_objective:
        return (Words("The study has its own objective: tuner has no test rows."),)
    if confirmation is None or all(row.test is None for row in confirmation.rows):
        text = (
            "Nothing is measured on the test rows yet, and a report does not read them: "
            f"`{facts.command('confirm')}` measures the best few and the baseline on them."
        )
        return (Words(text),)
    rows = tuple(
        (row.label, interval(row.test), ", ".join(f"{v:.4g}" for v in row.test.values))
        for row in confirmation.rows
        if row.test is not None
    )
    columns = ("configuration", "mean and 95% interval", "each seed")
    grid = Grid(f"{facts.metric} on the test split", columns, rows)
    outcome = facts.answers.outcome
    if outcome is None:
        return grid, Words("These trainings did not store their predictions on the test rows.")
    if outcome.each:
        return grid, *_of_each(outcome, facts.metric, confirmation.winner.label)
    return grid, *_pictures(outcome, confirmation.winner.label)


def _of_each(outcome: Outcome, metric: str, winner: str) -> tuple[Part, ...]:
    """The metric of each of several targets, and the calibration of each label."""
    whose = f"{winner}, {several(outcome.seeds, 'seed')} together"
    labels = any(each.calibration for each in outcome.each)
    columns = ("label" if labels else "quantity", metric)
    rows = [(each.name, "-" if each.value is None else number(each.value)) for each in outcome.each]
    first = Grid(f"Each on the test rows: {whose}", columns, tuple(rows))
    if not labels:
        return (first,)
    tenths = tuple(f"{low}-{low + 10}%" for low in range(0, 100, 10))
    lines = tuple(
        (each.name, *_by_tenth(each.calibration), f"{each.calibration_error:.1%}")
        for each in outcome.each
    )
    title = "Calibration of each label on the test rows: observed share by predicted probability"
    return first, Grid(title, ("label", *tenths, "expected error"), lines)


def _by_tenth(bins: Bins) -> list[str]:
    """What came true of each tenth of a probability, and of how many rows; empty without rows."""
    known = {min(int(sure * 10), 9): f"{right:.0%} of {count}" for count, sure, right in bins}
    return [known.get(tenth, "") for tenth in range(10)]


def _pictures(outcome: Outcome, winner: str) -> tuple[Part, ...]:
    """Confusion and calibration of classes, or residuals of values."""
    whose = f"{winner}, {several(outcome.seeds, 'seed')} together"
    parts: list[Part] = []
    if outcome.confusion:
        caption = f"Confusion on the test rows: {whose}. Colours are shares of a row."
        parts.append(Chart("confusion", caption, _worst(outcome)))
    if outcome.calibration:
        error = f"{outcome.calibration_error:.1%}"
        caption = (
            "Calibration on the test rows: observed accuracy over predicted probability; "
            f"the expected calibration error is {error}. Larger marks are more rows."
        )
        parts.append(Chart("calibration", caption, f"of {whose}"))
    if outcome.actual:
        mean, deviation = fmean(outcome.residuals), pstdev(outcome.residuals)
        about = f"residuals have mean {number(mean)} and deviation {number(deviation)}"
        caption = f"Residuals on the test rows by predicted value: {whose}; {about}."
        parts.append(Chart("residuals", caption, about))
    return tuple(parts) or (Words("These trainings did not store what a picture shows."),)


def _worst(outcome: Outcome) -> str:
    """The most frequent confusion in words."""
    cells = [
        (count, i, j)
        for i, row in enumerate(outcome.confusion)
        for j, count in enumerate(row)
        if i != j and count
    ]
    if not cells:
        return "Every row is predicted correctly."
    count, i, j = max(cells)
    names = outcome.classes
    return f"Most frequent error: {names[i]} predicted as {names[j]}, {several(count, 'time')}."


# What each technique contributes: by experiment, and in the trials of the search.


def contributions(facts: Facts) -> tuple[Part, ...]:
    """The ablation, then raw main effects; each says where it comes from."""
    effects = facts.pooled.effects
    parts: list[Part] = list(_ablation(facts))
    if not effects:
        parts.append(Words("The study searches no technique, so there is none to compare."))
    elif not any(each.with_it or each.without for each in effects):
        parts.append(Words("No complete trial has a technique on or off yet."))
    else:
        parts += _main_effects(facts, effects)
    return tuple(parts)


def _ablation(facts: Facts) -> tuple[Part, ...]:
    answer = facts.answers.ablation
    if answer is None:
        if not facts.techniques:
            return ()
        command = facts.command("ablate")
        text = "No ablation exists yet: "
        return (Words(f"{text}`{command}` runs one. The following comes from the search alone."),)
    rows = tuple(
        (
            effect.technique,
            VIEW_STYLES.get(effect.view, (effect.view, ""))[0],
            difference(effect.difference.mean, 0.0),
            _interval(effect.difference.low, effect.difference.high),
            str(len(effect.difference.values)),
        )
        for effect in answer.effects
    )
    left = unfinished(answer, facts.option)
    more = (Words(f"The experiment is {left}."),) if left else ()
    if not rows:
        return more
    columns = ("technique", "experiment", "gain", "95% interval", "seeds")
    return (
        *more,
        *(Words(effect.words) for effect in answer.effects if effect.view == "off"),
        Chart("ablation", "By experiment, over seeds, with 95% intervals.", "see the table"),
        Grid(f"Gain in {facts.metric} over seeds", columns, rows, first_number=2),
    )


def _interval(low: float | None, high: float | None) -> str:
    """An interval as text; one seed, or one trial, has none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return "–"
    return f"{signed(low)} to {signed(high)}"


def _main_effects(facts: Facts, effects: tuple[MainEffect, ...]) -> list[Part]:
    rows = tuple(
        (
            each.technique,
            f"{number(each.on)} ({each.with_it:,})",
            f"{number(each.off)} ({each.without:,})",
            signed(each.gain),
            _interval(each.low, each.high),
        )
        for each in effects
    )
    text = (
        "Main effects in the search: the mean of the complete trials with a technique against "
        "those without it. The sampler chose these trials, everything else varies between "
        "them, and pruned trials are left out: a hint, not a proof."
    )
    columns = ("technique", "on (trials)", "off (trials)", "gain", "95% interval")
    grid = Grid(f"Main effects on {facts.metric}; positive is better", columns, rows)
    if not any(each.gain is not None for each in effects):
        return [Words(text), grid]
    return [Words(text), Chart("mains", "Main effects in the search.", "see the table"), grid]


# What a model of the trials believes: which parameters matter, where it expects the best value.


def model(facts: Facts) -> tuple[Part, ...]:
    """Importances from FEWEST results on; from ENOUGH on the predicted best and slices too."""
    if facts.model is None:
        return (Words(_no_model(facts)),)
    shares = facts.pooled.importances
    if not shares:
        text = "The model sees no difference between configurations: all values are alike."
        return (Words(text),)
    parts: list[Part] = [Words(ABOUT_MODEL.format(results=several(facts.results, "result")))]
    parts += _importances(facts)
    if facts.results < ENOUGH:
        missing = several(ENOUGH - facts.results, "more result")
        return *parts, Words(f"After {missing} the predicted best and slices stand here too.")
    return *parts, *_predicted(facts, facts.model)


ABOUT_MODEL = (
    "A Gaussian process over all parameters at once, fitted to the {results} of the search, "
    "whatever sampler proposed them; a pruned trial counts by what it would have reached. What it "
    "says of configurations that nobody trained is an expectation, not a measurement."
)


def _no_model(facts: Facts) -> str:
    if facts.complete and not facts.results:
        return "The trials train known configurations again: there is nothing to model."
    if facts.results < FEWEST:
        missing = several(FEWEST - facts.results, "more result")
        return f"Too few trials have ended for a model of them: it needs {missing}."
    if len(facts.complete) < 2:
        return "A model of the trials needs two complete ones."
    return "The trials have no parameters: there is nothing to model."


def _importances(facts: Facts) -> list[Part]:
    rows = tuple((name, f"{share:.1%}") for name, share in facts.pooled.importances.items())
    text = (
        "How much each parameter matters: its share in how the model's mean varies over the whole "
        "search space, not in which direction; what is missing to 100% is interaction. A parameter "
        "that only some configurations have counts where it is there; name.on is a switch. (First-"
        "order indices: Sobol' 1993; Oakley and O'Hagan 2004.)"
    )
    caption = f"Importances: {METHOD}"
    chart = Chart("importances", f"{caption}.", "see the table")
    return [Words(text), chart, Grid(caption, ("parameter", "share"), rows, folded=True)]


def _predicted(facts: Facts, model: Surrogate) -> tuple[Part, ...]:
    """The configuration that the model expects to be best, beside the best trial, and slices."""
    trials = {f"trial {e.number}": e for e in (facts.best, facts.baseline) if e is not None}
    [first, *others] = model([model.best, *(entry.params for entry in trials.values())])
    rows = [("predicted best", "–", number(first.mean), _belief_interval(first))]
    for (name, entry), belief in zip(trials.items(), others, strict=True):
        label = f"{name}, the baseline" if entry is facts.baseline else name
        rows.append((label, number(entry.value), number(belief.mean), _belief_interval(belief)))
    columns = ("configuration", "measured", "model's mean", "95% interval")
    both = model.best, {} if facts.best is None else facts.best.params
    values = tuple(
        (name, *(shown_value(each[name]) if name in each else "–" for each in both))
        for name in facts.pooled.importances
        if any(name in each for each in both)
    )
    named = ("parameter", "predicted best", next(iter(trials), "best trial"))
    text = (
        f"The predicted best is the configuration with the best expected {facts.metric}; an Optuna "
        "script can add it to the study with `study.enqueue_trial`."
    )
    parts: list[Part] = [
        Words(text),
        Grid(f"{facts.metric} without noise, as the model expects it", columns, tuple(rows)),
        Grid("The predicted best", named, values[:MOST_PARAMETERS], len(named), folded=True),
    ]
    drawn = sliced(facts)
    if drawn:
        about = (
            "Slices: the model's mean with its 95% interval along the most important parameters, "
            "the others as in the predicted best; a diamond is the predicted best. A parameter "
            "that it does not have is drawn in the configuration with it that is predicted best."
        )
        parts.append(Words(about))
    for name in drawn:
        share = facts.pooled.importances[name]
        parts.append(Chart(f"belief-{name}", f"{name}: {share:.0%}", "see the words", wide=False))
    return tuple(parts)


def _belief_interval(belief: Belief) -> str:
    return f"{number(belief.low)} to {number(belief.high)}"


# The sections of a report, in the order in which they are read.


MOST_EPOCHS = 20
"""Rows of the table of learning curves."""


def sections(facts: Facts) -> tuple[Section, ...]:
    """Every section; one that cannot be shown yet says why and which command helps."""
    return (
        Section("verdict", "Verdict", _verdict(facts)),
        Section("history", "How the search went", _history(facts)),
        Section("curves", "Learning curves", _curves(facts)),
        Section("techniques", "What the techniques contribute", contributions(facts)),
        Section("model", "What a model of the trials believes", model(facts)),
        Section("space", "Best regions of the search space", _space(facts)),
        Section("test", "On the test split", held_out(facts)),
        Section("configuration", "The configuration", configuration_parts(facts)),
        Section("time", "Where the time went", time_spent(facts)),
    )


def _verdict(facts: Facts) -> tuple[Part, ...]:
    first, *rest = verdict(facts)
    parts: list[Part] = [Words(first, strong=True), *map(Words, rest)]
    confirmation = facts.answers.confirmation
    if confirmation is None:
        parts += [_baseline_and_best(facts)] if facts.complete else []
    else:
        tested = not confirmation.own_objective
        rows = tuple(
            (
                *(row.label, interval(row.validation), *[interval(row.test)] * tested),
                seeds_of(row, confirmation),
            )
            for row in confirmation.rows
        )
        columns = ("configuration", facts.study.measured_on, *["test split"] * tested, "seeds")
        caption = f"{facts.metric} over seeds, mean and 95% interval"
        parts.append(Grid(caption, columns, rows))
        if beside := rival_rows(confirmation):
            about = f"{facts.metric} {rival_caption(confirmation)}"
            parts.append(Grid(about, rival_columns(confirmation), beside))
        text = f"{len(rows)} configurations; the table above has the means and intervals"
        parts.append(Chart("confirmed", "Each seed, and the means with their intervals.", text))
    if errors := failures(facts):
        cells = tuple((message, str(count)) for message, count in errors)
        parts.append(Grid("Errors of failed trials", ("error", "trials"), cells))
    return tuple(parts)


def _baseline_and_best(facts: Facts) -> Grid:
    rows = []
    baseline = facts.baseline
    for name, entry in (("baseline", baseline), ("best", facts.best)):
        value = None if entry is None else entry.value
        shown = "–" if entry is None else str(entry.number)
        known = baseline is not None and baseline.value is not None and value is not None
        gain = difference(value, baseline.value) if known and name == "best" else ""  # type: ignore[arg-type, union-attr]
        rows.append((name, shown, number(value), gain))
    if facts.own_objective:
        best = tuple(row[:3] for row in rows[1:])
        return Grid(f"{facts.metric} of the best trial", ("", "trial", facts.metric), best)
    caption = f"{facts.metric} on the {facts.study.measured_on}, one training each"
    return Grid(caption, ("", "trial", facts.metric, "against the baseline"), tuple(rows))


def _history(facts: Facts) -> tuple[Part, ...]:
    ended = [e for e in facts.entries if e.state in MARKED and e.value is not None]
    if not ended:
        return (Words("No trial has ended with a value yet."),)
    best = best_so_far(facts.entries, facts.direction)
    last = f"{number(best[-1].value)} at trial {best[-1].number}" if best else "none complete"
    text = f"{facts.metric} of {several(len(ended), 'trial')}; best so far: {last}"
    parts: list[Part] = [
        Chart("history", "Trials in order. The axis may omit the worst trials.", text)
    ]
    if ended_in_order(facts):
        about = "The same over wall-clock time, when each trial ended, without pauses."
        parts.append(Chart("seconds", about, text))
    if best:
        rows = tuple((str(e.number), number(e.value), f"{e.seconds:.1f}") for e in best[-30:])
        columns = ("trial", facts.metric, "seconds")
        parts.append(Grid("New best trials", columns, rows, first_number=0, folded=True))
    else:
        parts.append(Words("No trial is complete yet: every value is of a pruned trial."))
    return tuple(parts)


def _curves(facts: Facts) -> tuple[Part, ...]:
    shown = [entry for entry in facts.entries if entry.curve and entry.state in CURVED]
    step = facts.study.step
    if not shown:
        return (Words(f"No trial has reported a value after a {step} yet."),)
    text = f"{facts.metric} after each {step}, of {several(len(shown), 'trial')}"
    caption = "Pruned trials are faded; large studies show an even sample of the trials."
    return (Chart("curves", caption, text), _by_epoch(facts, shown))


def _by_epoch(facts: Facts, shown: Sequence[Entry]) -> Grid:
    """The curves in numbers: the baseline, the best trial, and the median at each epoch."""
    known = {epoch for entry in shown for epoch in entry.curve}
    lines = {"baseline": facts.baseline, "best trial": facts.best}
    special = {name: entry for name, entry in lines.items() if entry is not None and entry.curve}
    rows = []
    for epoch in spread(sorted(known), MOST_EPOCHS):
        values = [entry.curve[epoch] for entry in shown if epoch in entry.curve]
        own = (number(entry.curve.get(epoch)) for entry in special.values())
        rows.append((str(epoch), *own, number(median(values)), f"{len(values):,}"))
    step = facts.study.step
    columns = (step, *special, "median", "trials")
    return Grid(f"{facts.metric} after each {step}", columns, tuple(rows), 0, folded=True)


def _space(facts: Facts) -> tuple[Part, ...]:
    if not facts.own_objective and not facts.searched:
        return (Words("The study searches nothing: every parameter has a single value."),)
    if len(facts.complete) < 2:
        return (Words("At least two complete trials are needed to compare configurations."),)
    grid = best_regions(facts)
    if grid is None:
        return (Words("The complete trials have no parameters."),)
    nodes = [n for n in ranked(facts) if any(n.name in e.config for e in facts.complete)]
    if not nodes:
        return (grid,)
    names = [node.name for node in nodes]
    text = f"Lines through {', '.join(names[:12])}, coloured by {facts.metric}"
    lines = "Each line is a complete trial; drag along an axis to filter."
    parts: list[Part] = [grid, Chart("parallel", lines, text)]
    for node in nodes[:MOST_SLICES]:
        caption = f"{node.name}: {node.leaf.doc}." if node.leaf.doc else node.name
        about = f"{facts.metric} over {node.name}"
        parts.append(Chart(f"slice-{node.name}", caption, about, wide=False))
    if len(names) > MOST_SLICES:
        left = ", ".join(names[MOST_SLICES:])
        parts.append(Words(f"Not drawn because of low importance: {left}."))
    return tuple(parts)
