"""States the result of a study in words."""

from __future__ import annotations

from collections import Counter

from tuner.reports.facts import Facts, headline_estimates
from tuner.results.confirm import Confirmation
from tuner.show.answers import OWN_MEASURE, beaten, ensemble_line, interval, unfinished
from tuner.show.text import difference, number, progress_text, several
from tuner.space import format_value
from tuner.storage.studies import ADOPTED
from tuner.study.trials import left_out_words


def verdict(facts: Facts) -> tuple[str, ...]:
    """Sentences: what is best, by how much, how sure that is, and what is missing."""
    confirmation = facts.answers.confirmation
    if confirmation is None:
        first = _searched(facts)
    else:
        headline = beaten(confirmation)
        first = _confirmed(facts, confirmation)
        first = (f"{headline[0].upper()}{headline[1:]}.", *first) if headline else first
    words = left_out_words(facts.left_out)
    left_out = (f"{words[0].upper()}{words[1:]}.",) if words else ()
    line = "" if confirmation is None else ensemble_line(confirmation)
    together = (f"{line[0].upper()}{line[1:]}.",) if line else ()
    return (*first, *together, *_differs(facts), _counts(facts), *left_out)


def _confirmed(facts: Facts, confirmation: Confirmation) -> tuple[str, ...]:
    """The result on the test split if it was measured there, else on validation, over seeds."""
    split, winner, baseline = headline_estimates(confirmation)
    label, other = confirmation.winner.label, confirmation.baseline
    rows = {
        "test": "rows of the test split" + (", which the search never saw" * _identified(facts)),
        "validation": facts.study.measured_on,
    }[split]
    first = (
        f"Confirmed over {several(len(winner.values), 'seed')}: {label} reaches "
        f"{facts.metric} {interval(winner)} on the {rows}"
    )
    left = _left(facts, confirmation)
    if confirmation.own_objective:
        return (f"{first}.", f"{OWN_MEASURE[0].upper()}{OWN_MEASURE[1:]}.", *left)
    if baseline is None:
        return (f"{first}. There is no comparison: the baseline has no result.", *left)
    if other is not None and label == other.label:
        return (f"{first}.", *left)
    text = f"{first}; the baseline reaches {interval(baseline)}."
    return text, _gain(facts, confirmation, winner.mean, baseline.mean), *left


def _left(facts: Facts, confirmation: Confirmation) -> tuple[str, ...]:
    """What `confirm` has left to train."""
    left = unfinished(confirmation, facts.option)
    too_few = confirmation.too_few
    waiting = ", ".join(f"{label} ({several(n, 'seed')})" for label, n in too_few.items())
    sentences = [f"The confirmation is {left}."] if left else []
    sentences += [f"Not compared because of too few seeds: {waiting}."] if waiting else []
    return tuple(sentences)


def _identified(facts: Facts) -> bool:
    """Whether the database has identified the rows since the search began."""
    return facts.identity is not None and ADOPTED not in facts.identity


def _gain(facts: Facts, confirmation: Confirmation, winner: float, baseline: float) -> str:
    gain = confirmation.gain
    if gain is None or len(gain.values) < 2:
        return f"The gain over the baseline is {signed(facts.gain(winner, baseline))}."
    low, high = signed(gain.low), signed(gain.high)
    text = f"Seed by seed it gains {signed(gain.mean)} ({low} to {high})"
    if gain.clear:
        return f"{text}: {'better' if gain.mean > 0 else 'worse'} than the baseline."
    return f"{text}: no significant difference from the baseline."


def signed(value: float | None) -> str:
    """A gain with its sign."""
    return "–" if value is None else difference(value, 0.0)


def _searched(facts: Facts) -> tuple[str, ...]:
    best, baseline = facts.best, facts.baseline
    if best is None or best.value is None:
        if facts.hopeless:
            return (f"{facts.hopeless[0].upper()}{facts.hopeless[1:]}.",)
        return ("No trial is complete yet, so there is nothing to recommend.",)
    where = f"trial {best.number}, {facts.metric} {number(best.value)} on the "
    where += facts.study.measured_on
    if baseline is None or baseline.value is None:
        first = f"Best of {several(len(facts.complete), 'complete trial')}: {where}."
        if facts.own_objective:
            caution = (
                "This is a single run of those that selected it, so the number is optimistic: "
            )
            return first, f"{caution}`{facts.command('confirm')}` repeats it over seeds."
        first += " The baseline, trial 0, is not complete, so there is no comparison."
    elif best is baseline:
        first = f"The baseline is best so far: {where}."
    else:
        gain = facts.gain(best.value, baseline.value)
        first = f"Best of {several(len(facts.complete), 'complete trial')}: {where}; "
        first += f"the baseline has {number(baseline.value)}, so the gain is {signed(gain)}."
    caution = (
        "This is a single training, measured on the rows that selected it, so the number is "
        f"optimistic: `{facts.command('confirm')}` measures it over seeds and on the test rows."
    )
    return first, caution


def _differs(facts: Facts) -> tuple[str, ...]:
    """The parameters in which the chosen configuration differs from the baseline."""
    chosen, params = facts.chosen, facts.study.baseline()
    if chosen is None or params is None or chosen is facts.baseline:
        return ()
    baseline = facts.study.config(params)
    changed = [
        f"{name} {format_value(value)}"
        for name, value in chosen.config.items()
        if baseline.get(name) != value
    ]
    return (f"It differs from the baseline in: {', '.join(changed)}.",) if changed else ()


def _counts(facts: Facts) -> str:
    progress = facts.progress
    text = f"{progress_text(progress, facts.trained)} finished: "
    text += f"{progress.complete:,} complete, {progress.pruned:,} pruned"
    text += f", {progress.paused:,} more paused" if progress.paused else ""
    text += f"; {progress.failed:,} more failed" if progress.failed else ""
    if progress.running:
        text += f"; {progress.running:,} still running"
    elif progress.interrupted:
        text += f"; {len(progress.interrupted):,} interrupted, which the next worker continues"
    if not progress.hands_out:
        text += f"; the study is {progress.state}, and `{facts.command('resume')}` opens it again"
    elif not progress.running and not progress.met:
        text += f"; `{facts.command('optimize')}` continues the search"
    return f"{text}."


def failures(facts: Facts) -> list[tuple[str, int]]:
    """The most frequent errors of failed trials, each with its number of trials."""
    messages = (str(e.facts.get("error", "unknown")) for e in facts.entries if e.state == "failed")
    return Counter((each.splitlines() or [""])[0][:300] for each in messages).most_common(5)
