"""What beats the winner of `confirm`, in words and in a table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from tuner.results.confirm import Confirmation, Measured
from tuner.results.estimate import Estimate
from tuner.results.race import Stopped
from tuner.results.yardsticks import Rival
from tuner.show.answers import beaten, confirmed, rival_rows, verdict

OWN = Estimate(0.8, 0.01, 0.79, 0.81, (0.79, 0.81))
BASELINE = Measured("baseline", 0, {}, OWN, OWN)
WINNER = Measured("trial 3", 3, {}, OWN, OWN)
WINS = Rival("boosting", 0.9, 0.1, 0.05, 0.15, True)
UNCLEAR = Rival("linear", 0.82, 0.02, -0.01, 0.05)
LOSES = Rival("mean", 0.5, -0.3, -0.4, -0.2, False, "trained on 10 of 20 rows")
UNKNOWN = Rival("text", None, note="none for text")


STOPPED = Measured("trial 5", 5, {}, OWN, None, None, Stopped(2, "trial 3", 0.021, 0.006))


def confirmation(*rivals: Rival, winner: Measured = WINNER) -> Confirmation:
    return Confirmation(
        "made", "accuracy", "maximize", (winner,), winner, BASELINE, 2, rivals=rivals
    )


@pytest.mark.parametrize(
    "rivals", [(), (UNCLEAR, LOSES, UNKNOWN), (Rival("one seed", 0.99, 0.19),)]
)
def test_without_a_clear_winner_there_is_no_headline(rivals: tuple[Rival, ...]) -> None:
    assert beaten(confirmation(*rivals)) == ""


def test_the_best_of_those_that_win_is_named_first() -> None:
    base = Rival("baseline", 0.85, 0.05, 0.01, 0.09, True)
    text = "boosting beats trial 3 on the test rows: accuracy 0.9000 against 0.8000, "
    text += "+10.0 points (5.0 to 15.0)"
    assert beaten(confirmation(LOSES, WINS)) == text
    assert beaten(confirmation(base, WINS)) == f"{text}; so does the baseline"
    assert verdict(confirmation(base, WINS)).startswith(f"{text}; so does the baseline; made: ")
    assert beaten(confirmation(base)).startswith("the baseline beats trial 3 on the test rows: ")


def test_the_baseline_wins_where_it_is_chosen() -> None:
    none_better = "no confirmed configuration is better"
    found = confirmation(UNCLEAR, winner=BASELINE)
    assert beaten(found) == f"the baseline wins: {none_better} on the validation rows"
    both = beaten(confirmation(WINS, winner=BASELINE))
    assert both.startswith("boosting beats the baseline on the test rows: accuracy 0.9000 against")
    assert both.endswith(f"; {none_better} than the baseline on the validation rows")


def test_a_line_for_each_the_best_first() -> None:
    rows = rival_rows(confirmation(UNKNOWN, LOSES, Rival("short", 0.81, 0.01), UNCLEAR, WINS))
    assert rows == (
        ("boosting", "0.9000", "+10.0 points (5.0 to 15.0)", "wins", ""),
        ("linear", "0.8200", "+2.0 points (-1.0 to 5.0)", "no clear difference", ""),
        ("short", "0.8100", "+1.0 points", "too few rows or seeds to tell", ""),
        ("mean", "0.5000", "-30.0 points (-40.0 to -20.0)", "loses", "trained on 10 of 20 rows"),
        ("text", "–", "–", "", "none for text"),
    )
    assert rival_rows(confirmation(Rival("baseline", 0.85, 0.05))) == ()


def test_the_table_stands_below_the_configurations() -> None:
    console = Console(width=200)
    with console.capture() as shown:
        console.print(confirmed(confirmation(LOSES, WINS)))
    text = shown.get()
    assert "without a search, on the same test rows" in text
    assert text.index("trial 3  ") < text.index("against trial 3") < text.index("boosting  ")


def test_a_stopped_configuration_says_why() -> None:
    console = Console(width=200)
    with console.capture() as shown:
        console.print(confirmed(replace(confirmation(), rows=(WINNER, STOPPED))))
    line = next(line for line in shown.get().splitlines() if line.startswith("trial 5"))
    assert line.split("  ")[-1].strip() == "stopped after 2: worse by 0.0210 ± 0.0060"
    assert " – " in line  # it is not measured on the test rows
