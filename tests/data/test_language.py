"""Rows in another language than English are told apart, and nothing else is."""

import pytest

from sails.data import Conversation, foreign_rows
from sails.data.conversation import Turn
from sails.data.reading import parse as read
from tests.conftest import REPOSITORY


def rows_of(*pairs: tuple[str, str]) -> list[Conversation]:
    return [Conversation((Turn("user", question), Turn("assistant", answer))) for question, answer in pairs]


SPOKEN = {
    "German": [
        ("Was ist ein Segel?", "Ein Segel ist ein Tuch, das den Wind fängt und das Schiff antreibt."),
        ("Wie kündige ich mein Abo?", "Sie können es in den Einstellungen unter „Mein Konto“ kündigen."),
        ("Wann ist der Laden auf?", "Von Montag bis Freitag, und am Samstag ist er bis 14 Uhr offen."),
    ],
    "French": [
        ("Qu'est-ce qu'une voile ?", "C'est une toile qui prend le vent et pousse le bateau."),
        ("Comment annuler ?", "Vous pouvez annuler dans les réglages de votre compte."),
        ("Où est la gare ?", "La gare est dans le centre, pas loin de la place."),
    ],
    "Spanish": [
        ("¿Qué es una vela?", "Es una tela que recoge el viento y mueve el barco."),
        ("¿Cómo cancelo?", "Puede cancelar en los ajustes de la cuenta."),
        ("¿Dónde está la estación?", "La estación está en el centro, cerca de la plaza."),
    ],
    "Italian": [
        ("Che cos'è una vela?", "È una tela che prende il vento e spinge la barca."),
        ("Come si annulla?", "Si può annullare nelle impostazioni della pagina, con il tasto rosso."),
        ("Dov'è la stazione?", "La stazione è nel centro, non lontano dalla piazza."),
    ],
    "Dutch": [
        ("Wat is een zeil?", "Een zeil is een doek dat de wind vangt en het schip voortstuwt."),
        ("Hoe zeg ik op?", "Je kan het opzeggen in de instellingen van je account."),
        ("Waar is het station?", "Het station is in het centrum, niet ver van het plein."),
    ],
    "Polish": [
        ("Co to jest żagiel?", "To jest płótno, które łapie wiatr i napędza łódź, czy nie?"),
        ("Jak się anuluje?", "Można to zrobić na stronie konta, nie jest to trudne."),
        ("Gdzie jest dworzec?", "Dworzec jest w centrum, nie jest daleko od rynku."),
    ],
    "Cyrillic letters": [("Что такое парус?", "Полотно, которое ловит ветер.")] * 3,
    "Chinese or Japanese signs": [
        ("帆是什么？", "帆是一块布，可以接住风。"),
        ("帆とは？", "風を受ける布です。"),
    ]
    * 2,
    "Arabic letters": [("ما هو الشراع؟", "قماش يلتقط الريح.")] * 3,
}

ENGLISH = {
    "code": [
        ("Sort a list in Python", "```python\nfor i in range(len(el)):\n    de, la = el[i], un\n```"),
        ("SELECT all", "SELECT id, name FROM users WHERE id IN (1, 2) ORDER BY name DESC;"),
        ("Loop in C", "for (int i = 0; i < n; i++) { do_it(i); }"),
        ("Shell: list files", "ls -la | grep -e die -e van"),
    ],
    "names": [
        ("Who wrote Don Quixote?", "Miguel de Cervantes"),
        ("Painter of Las Meninas?", "Diego Rodríguez de Silva y Velázquez"),
        ("Who was Vincent van Gogh?", "A painter from the Netherlands."),
        ("Where is Los Angeles?", "In California, not far from Las Vegas and San Luis de la Paz."),
        ("Composer of the Ninth?", "Ludwig van Beethoven"),
        ("Who is Ursula von der Leyen?", "A politician."),
    ],
    "short": [("Hi", "Hello!"), ("2 + 2?", "4"), ("Capital of France?", "Paris"), ("Dog?", "Yes"), ("", "k")],
    "about other languages": [
        ("What does “der Hund” mean in German?", "It means “the dog”."),
        ("How do you say “the house is big” in Spanish?", "You say “la casa es grande”."),
        ("Translate “good morning” into French.", "Bonjour"),
        ("What is the Greek letter π?", "It is the ratio of a circle's circumference to its diameter: π."),
    ],
}  # fmt: skip


@pytest.mark.parametrize("language", SPOKEN)
def test_rows_in_another_language_are_told(language):
    found = foreign_rows(rows_of(*SPOKEN[language]))
    assert found is not None
    assert (found.language, found.rows) == (language, found.looked_at)


@pytest.mark.parametrize("kind", ENGLISH)
def test_english_code_names_and_short_rows_raise_no_alarm(kind):
    assert foreign_rows(rows_of(*ENGLISH[kind])) is None


@pytest.mark.parametrize("name", ["programming_basics", "web_development", "databases"])
def test_the_examples_that_come_along_raise_no_alarm(name):
    assert foreign_rows(read(REPOSITORY / "examples" / f"{name}.json").conversations) is None


def test_a_few_foreign_rows_among_many_raise_no_alarm():
    few = [*SPOKEN["German"], *ENGLISH["names"] * 3]
    assert foreign_rows(rows_of(*few)) is None
    assert foreign_rows(rows_of(*SPOKEN["German"][:2])) is None  # too few to tell
    half = foreign_rows(rows_of(*SPOKEN["German"], *ENGLISH["short"]))
    assert half is not None
    assert (half.rows, half.looked_at) == (3, 8)
    assert foreign_rows([]) is None


def test_of_many_rows_a_sample_tells():
    found = foreign_rows(rows_of(*SPOKEN["German"] * 1000))
    assert found is not None
    assert found.rows == found.looked_at == 300
