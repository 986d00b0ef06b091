"""Text that people wrote, and moments, as pages show them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sails.ui.text import code, moment, plain

SIGNS = st.sampled_from("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ 1a")
OTHERS = st.characters(codec="utf-8", exclude_categories=("C", "Z"))
TEXTS = st.text(SIGNS | OTHERS, max_size=60)


def shown(markdown: str, kind: str) -> list[str]:
    """What a Markdown parser makes of it: the content of every inline token of this kind."""
    inline = MarkdownIt("gfm-like", {"linkify": False}).parseInline(markdown)[0]
    return [token.content for token in inline.children or [] if token.type == kind]


@given(TEXTS)
def test_code_shows_exactly_the_text(text):
    line = " ".join(text.split()) or "(empty)"
    assert shown(code(text), "code_inline") == [line]


@given(TEXTS)
def test_plain_shows_exactly_the_text_and_no_markup(text):
    line = " ".join(text.split())
    inline = MarkdownIt("gfm-like", {"linkify": False}).parse(plain(text))
    tokens = [token for block in inline if block.type == "inline" for token in block.children or []]
    assert "".join(token.content for token in tokens).replace("\u2060", "") == line
    assert {token.type for token in tokens} <= {"text", "text_special"}


@pytest.mark.parametrize("text", [":smile:", ":material/warning:", ":red[x]"])
def test_plain_breaks_streamlit_shortcodes(text):
    assert text not in plain(text).replace("\\", "")


def test_moments_are_told_in_the_persons_own_time_zone():
    noon = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
    assert moment(noon, "Asia/Tokyo") == "5 Jan 2026, 21:00"
    assert moment(noon, "no/such zone") == moment(noon)
