"""Pictures of predictions: well-formed, to scale, and nothing in them that runs."""

from __future__ import annotations

from xml.etree import ElementTree

from tuner.pictures import LEFT, SIDE, TOP, confusion, residuals

SVG = "{http://www.w3.org/2000/svg}"


def read(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)


def words(page: ElementTree.Element) -> list[str]:
    return [str(each.text) for each in page.iter(f"{SVG}text")]


def test_a_confusion_matrix_has_its_counts_where_they_belong() -> None:
    page = read(confusion(["cat", "dog"], [[30, 10], [0, 7]], "trial 3"))
    said = words(page)
    assert {"trial 3", "predicted", "actual", "cat", "dog", "30", "10", "7"} <= set(said)
    assert "0" not in said
    cells = [each for each in page.iter(f"{SVG}rect") if each.get("fill-opacity")]
    where = [(float(each.get("x")), float(each.get("y"))) for each in cells]  # type: ignore[arg-type]
    half = SIDE / 2
    assert where == [(LEFT, TOP), (LEFT + half, TOP), (LEFT + half, TOP + half)]
    shares = [float(each.get("fill-opacity")) for each in cells]  # type: ignore[arg-type]
    assert shares[0] > shares[1] < shares[2] == 1.0


def test_names_of_classes_are_only_text() -> None:
    nasty = '<script>alert("&")</script>'
    picture = confusion([nasty, "b"], [[1, 0], [0, 1]], nasty)
    page = read(picture)
    assert nasty in words(page)
    assert "<script" not in picture


def test_many_classes_are_small() -> None:
    counts = [[5 if i == j else i % 3 for j in range(40)] for i in range(40)]
    picture = confusion([f"class {i}" for i in range(40)], counts, "")
    assert len(picture) < 150_000
    assert any("40 classes" in word for word in words(read(picture)))


def points(page: ElementTree.Element) -> list[tuple[float, float]]:
    found = page.iter(f"{SVG}circle")
    return [(float(each.get("cx")), float(each.get("cy"))) for each in found]  # type: ignore[arg-type]


def test_characters_that_xml_has_not_are_replaced() -> None:
    said = words(read(confusion(["a\x00b", "c\x1b\ud800\uffff"], [[1, 0], [0, 1]], "t\x0b")))
    assert {"a\ufffdb", "c\ufffd\ufffd\ufffd", "t\ufffd"} <= set(said)


def test_residuals_lie_where_their_values_say() -> None:
    page = read(residuals([4.0, 10.0, 25.0], [0.0, 10.0, 20.0], "trial 1"))
    # Actual less predicted: 4, 0 and 5, the first at the left end and the last at the right.
    fifth = SIDE / 5
    expected = [(LEFT, TOP + fifth), (LEFT + SIDE / 2, TOP + SIDE), (LEFT + SIDE, TOP)]
    assert points(page) == expected
    assert {"predicted", "residual (actual − predicted)", "20", "5"} <= set(words(page))
    (zero,) = page.iter(f"{SVG}path")
    assert str(zero.get("d")).startswith(f"M{LEFT} {TOP + SIDE:.1f}h")


def test_equal_and_no_residuals_are_drawn_too() -> None:
    for value in (2.0, 1e17):
        middle = (LEFT + SIDE / 2, TOP + SIDE / 2)
        assert points(read(residuals([value] * 2, [value] * 2, ""))) == [middle] * 2
    assert points(read(residuals([], [], ""))) == []


def test_what_is_no_number_is_left_out_and_counted() -> None:
    nan, inf = float("nan"), float("inf")
    picture = residuals([1.0, 2.0, 3.0, 4.0], [1.0, nan, inf, 4.0], "trial 1")
    assert len(points(read(picture))) == 2
    assert "nan" not in picture
    assert "inf" not in picture
    assert "trial 1, 2 of 4 rows without a finite residual" in words(read(picture))
