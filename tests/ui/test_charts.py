"""Charts: what is written on a colour can be read, curves keep their looks, words of people are only text."""

import math

import numpy as np
import pytest

from sails.ui import charts
from sails.ui.charts import Tile

ENOUGH = 4.5  # contrast of small text, WCAG 2 level AA


def contrast(one: float, other: float) -> float:
    """Of two luminances."""
    light, dark = max(one, other) + 0.05, min(one, other) + 0.05
    return light / dark


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("share", np.linspace(0, 1, 201))
def test_what_is_written_on_a_tile_can_be_read_in_every_theme(share, theme, monkeypatch):
    monkeypatch.setattr(charts, "current_theme", lambda: theme)
    figure = charts.heat_map(["row"], ["column"], [[Tile(float(share), "x", "")]])
    [ink] = [t.textfont.color for t in figure.data if t.type == "scatter" and t.x]
    luminance = charts.luminance(tuple(int(ink[n : n + 2], 16) for n in (1, 3, 5)))
    assert contrast(luminance, charts.luminance(charts.colour_of(float(share), theme))) >= ENOUGH


@pytest.mark.parametrize(("theme", "page"), [("light", (255, 255, 255)), ("dark", (16, 25, 29))])
def test_a_larger_share_stands_out_more_from_the_page(theme, page):
    ground = charts.luminance(page)
    shares = [
        contrast(charts.luminance(charts.colour_of(share, theme)), ground) for share in np.linspace(0, 1, 51)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 1.3  # nothing is hardly more than the page itself
    assert shares[-1] > 7


def test_an_unknown_tile_is_grey_and_so_is_what_is_written_in_it():
    figure = charts.heat_map(
        ["row"], ["a", "b"], [[Tile(0.5, "50%", "half"), Tile(None, "–", "why")]], apart=1
    )
    known, unknown, *texts = figure.data
    assert np.array_equal(np.isnan(np.array(known.z, float)), [[False, True]])
    assert np.array_equal(np.isnan(np.array(unknown.z, float)), [[True, False]])
    assert unknown.text[0][1] == "why"
    [text] = [t for t in texts if t.text == ("–",)]
    assert text.textfont.color == charts.GREY
    assert len(figure.layout.shapes) == 1


def test_what_a_person_wrote_is_no_markup_in_a_chart():
    assert charts.escape("<a href='x'>R&D</a>") == "&lt;a href='x'&gt;R&amp;D&lt;/a&gt;"


@pytest.mark.parametrize(
    ("highest", "form"), [(5e-5, "e"), (1e-3, "e"), (2.5, "none"), (12_000.0, "none"), (math.nan, "e")]
)
def test_only_an_axis_of_small_numbers_has_exponents(highest, form):
    figure = charts.lines([charts.Series("rate", [1, 2], [0.0, highest])], "Step", "Rate")
    assert figure.layout.yaxis.exponentformat == form
    assert figure.layout.yaxis.separatethousands


def test_a_curve_keeps_its_looks_when_others_join_it():
    def curve(name: str, number: int) -> charts.Series:
        return charts.Series(name, [1], [1.0], number=number)

    alone = charts.lines([curve("steps", 1)], "Step", "Loss").data[0]
    joined = charts.lines([curve("average", 0), curve("steps", 1), curve("kept", 2)], "Step", "Loss").data
    assert (alone.line, alone.marker) == (joined[1].line, joined[1].marker)
    assert len({trace.line.color for trace in joined}) == 3
