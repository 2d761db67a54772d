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


def test_residuals_lie_where_their_values_say() -> None:
    page = read(residuals([0.0, 10.0, 5.0], [0.0, 10.0, 10.0], "trial 1"))
    points = [
        (float(each.get("cx")), float(each.get("cy")))  # type: ignore[arg-type]
        for each in page.iter(f"{SVG}circle")
    ]
    assert points == [(LEFT, TOP + SIDE), (LEFT + SIDE, TOP), (LEFT + SIDE / 2, TOP)]
    assert {"actual", "predicted", "10"} <= set(words(page))


def test_equal_and_no_residuals_are_drawn_too() -> None:
    assert len(list(read(residuals([2.0, 2.0], [2.0, 2.0], "")).iter(f"{SVG}circle"))) == 2
    assert not list(read(residuals([], [], "")).iter(f"{SVG}circle"))
