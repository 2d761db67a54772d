from __future__ import annotations

import pytest

from tuner.errors import StudyFileError
from tuner.search.options import resolve, split
from tuner.space import Leaf

OPTIONS = (
    Leaf("rate", float, 0.5, minimum=0, maximum=1, doc="how fast"),
    Leaf("on", bool, True, doc="or off"),
)


def test_a_name_stands_for_itself_and_a_table_carries_options():
    assert split("tpe", "search.sampler") == ("tpe", {})
    assert split({"name": "tpe", "group": True}, "search.sampler") == ("tpe", {"group": True})


@pytest.mark.parametrize("entry", [3, None, {}, {"name": 3}, ["tpe"]])
def test_anything_else_is_refused(entry):
    with pytest.raises(StudyFileError, match="not a name or a table with a name") as caught:
        split(entry, "search.sampler")
    assert caught.value.where == "search.sampler"


def test_defaults_fill_what_is_not_given_and_integers_become_floats():
    options = resolve("it", OPTIONS, {"rate": 1}, "here")
    assert options == {"rate": 1.0, "on": True}
    assert type(options["rate"]) is float


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf"), "1", True, None])
def test_what_does_not_fit_is_refused(value):
    with pytest.raises(StudyFileError, match="which is not a number between 0 and 1") as caught:
        resolve("it", OPTIONS, {"rate": value}, "here")
    assert (caught.value.where, caught.value.hint) == ("here.rate", "how fast")
