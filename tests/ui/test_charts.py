"""Heat maps: every figure can be read on its colour, and what a person wrote is only text."""

import numpy as np
import pytest

from sails.ui import charts
from sails.ui.charts import Tile

ENOUGH = 4.5  # contrast of small text, WCAG 2 level AA


def contrast(one: float, other: float) -> float:
    """Of two luminances."""
    light, dark = max(one, other) + 0.05, min(one, other) + 0.05
    return light / dark


@pytest.mark.parametrize("share", np.linspace(0, 1, 201))
def test_what_is_written_on_a_tile_can_be_read_in_every_theme(share):
    figure = charts.heat_map(["row"], ["column"], [[Tile(float(share), "x", "")]])
    [ink] = [t.textfont.color for t in figure.data if t.type == "scatter" and t.x]
    luminance = charts.luminance(tuple(int(ink[n : n + 2], 16) for n in (1, 3, 5)))
    assert contrast(luminance, charts.luminance(charts.colour_of(float(share)))) >= ENOUGH


def test_a_darker_tile_is_a_larger_share():
    shares = [charts.luminance(charts.colour_of(share)) for share in np.linspace(0, 1, 51)]
    assert shares == sorted(shares, reverse=True)


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
