"""Text that people wrote, and moments, as pages show them."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sails.ui.text import code, literal, marked, moment, plain

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


@given(st.lists(st.tuples(st.text(SIGNS | OTHERS | st.just("\n"), max_size=20), st.booleans()), max_size=4))
def test_marked_shows_exactly_the_text_and_what_is_marked_is_bold(pieces):
    blocks = MarkdownIt("gfm-like", {"linkify": False}).parse(f"«{marked(pieces, 'violet')}»")
    assert [block.type for block in blocks] == ["paragraph_open", "inline", "paragraph_close"]
    texts = {True: "", False: ""}  # by whether they are bold
    in_bold = False
    for token in blocks[1].children or []:
        assert token.type in ("text", "text_special", "hardbreak", "strong_open", "strong_close")
        in_bold = token.type == "strong_open" or (in_bold and token.type != "strong_close")
        texts[in_bold] += token.content
    whole = "".join(
        re.sub("(.+)", r":violet-background[\1]", text) if is_marked else text for text, is_marked in pieces
    )
    shown = "".join(token.content or "\n" * (token.type == "hardbreak") for token in blocks[1].children or [])
    lines = [line or " " for line in whole.split("\n")]
    assert shown.replace("\u2060", "").replace("\u00a0", " ") == f"«{chr(10).join(lines)}»"
    said = "".join(text for text, is_marked in pieces if is_marked)
    assert "".join(texts[True].replace("\u2060", "").split()) == "".join(said.split())


LINKS = ["https://sea.example/a", "WWW.sea.example", "a@sea.example", "mailto:a@sea.example"]


@pytest.mark.parametrize("text", LINKS)
def test_what_people_wrote_becomes_no_link(text):
    assert text not in marked([(text, False), (text, True)], "violet").replace("\\", "")
    assert text not in plain(text).replace("\\", "")
    assert text not in literal(f"See {text}.").replace("\\", "")
    assert shown(plain(text), "text") == [plain(text).replace("\\", "")]


@pytest.mark.parametrize("text", [":smile:", ":material/warning:", ":red[x]"])
def test_plain_breaks_streamlit_shortcodes(text):
    assert text not in plain(text).replace("\\", "")


def test_moments_are_told_in_the_persons_own_time_zone():
    noon = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
    assert moment(noon, "Asia/Tokyo") == "5 Jan 2026, 21:00"
    assert moment(noon, "no/such zone") == moment(noon)
