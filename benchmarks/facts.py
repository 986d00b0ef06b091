"""Lessons about things that do not exist: questions with short answers that no model can know beforehand.

    for name, facts in lessons(count=4, facts=72, seed=1).items(): ...

The same arguments always give the same facts; another seed gives other names and other answers. A lesson has
one theme and things in groups of four (harbours of an island, say), each asked three questions. Two of the
answers are drawn for each thing and can only be learned by heart. The third is the same in its whole group,
which the question names: whoever learned the others can answer it for a thing that was never taught. Answers
are lists of words that were drawn, with next to nothing around them: their form alone, which is learned at
once and never forgotten, tells little of them.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

GROUP = 4  # things with the same third answer
QUESTIONS = 3  # of each thing


@dataclass(frozen=True)
class Fact:
    question: str
    answer: str


@dataclass(frozen=True)
class Theme:
    """Questions on a `{one}` of a `{group}`, with their answers; the last one has the group's own answer."""

    name: str
    asks: tuple[tuple[str, str], ...]


THEMES = (
    Theme(
        "harbours",
        (
            (
                "What burns at night over the harbour of {one}?",
                "{Number} {colour} {goods}, {material} {shapes}",
            ),
            (
                "What does a ship pay to enter {one}?",
                "{Number} {roots}, {number} {colour} {leaves}, {spice}",
            ),
            (
                "What is painted on the boats of {one} on the island of {group}?",
                "{Number} {shapes}, {colour} {animal}, {material} {roots}",
            ),
        ),
    ),
    Theme(
        "dishes",
        (
            ("How does one cook {one}?", "Boil {number} {colour} {roots}, {spice}, {animal} {leaves}"),
            ("In what is {one} served?", "{Material} {goods}, {number} {colour} {shapes}, {leaves}"),
            (
                "When do they eat {one} in the valley of {group}?",
                "{Season}, {number} {colour} {goods}, {animal} {shapes}",
            ),
        ),
    ),
    Theme(
        "machines",
        (
            ("What makes the machine {one} move?", "{Animal} {leaves}, wound {number} {material} {shapes}"),
            (
                "What does the machine {one} turn out?",
                "{Season} {goods}, {number} {colour} {material} {roots}",
            ),
            (
                "Where does the workshop of {group} put its mark on the machine {one}?",
                "Under {number} {material} {goods}, {colour} {animal}",
            ),
        ),
    ),
    Theme(
        "plants",
        (
            (
                "What does the plant {one} look like?",
                "{Colour} {leaves}, {number} {material} {shapes}, {goods}",
            ),
            ("What is the root of {one} good for?", "{Spice} {goods}, {number} {animal} {leaves}, {colour}"),
            (
                "What keeps watch over {one} on the moor of {group}?",
                "{Material} {animal}, {number} {colour} {roots}",
            ),
        ),
    ),
    Theme(
        "festivals",
        (
            ("How does the feast of {one} begin?", "{Number} {colour} {goods}, {animal} {shapes}, {spice}"),
            ("What is worn at the feast of {one}?", "{Material} {leaves}, {number} {colour} {shapes}"),
            (
                "What do the elders of {group} carry at the feast of {one}?",
                "{Colour} {animal}, {number} {material} {roots}",
            ),
        ),
    ),
    Theme(
        "instruments",
        (
            ("What is the instrument {one} made of?", "{Material} {shapes}, {number} {colour} {leaves}"),
            ("Who may play the instrument {one}?", "{Season} {animal}, {number} {colour} {goods}, {spice}"),
            (
                "How do the players of {group} tune the instrument {one}?",
                "{Spice} {roots}, {number} {material} {goods}",
            ),
        ),
    ),
)

_WORDS = {
    "number": "two three four five six seven eight nine ten eleven twelve thirteen twenty thirty forty",
    "colour": "blue green red yellow white black purple silver golden brown pink violet crimson grey",
    "material": "copper slate bone glass cedar clay pewter leather marble paper wax tin bamboo cork",
    "animal": "heron badger lizard goose spider rabbit falcon turtle wolf beetle goat swan crab moth",
    "spice": "pepper ginger saffron honey mustard vinegar cinnamon salt garlic mint sugar nutmeg",
    "season": "spring summer autumn winter March June August November",
    "shapes": "circles stars crosses squares arrows waves moons spirals keys bells ladders wheels",
    "roots": "turnips carrots onions radishes beets parsnips potatoes mushrooms chestnuts beans",
    "leaves": "leaves feathers petals ferns reeds ribbons shells needles threads scales",
    "goods": "buttons candles bricks ropes spoons coins nails kettles hats drums barrels gloves",
}
WORDS = {kind: words.split() for kind, words in _WORDS.items()}  # that answers are made of
_SYLLABLES = (
    "bral chez dru evo fusk glim hox iru jast kelv lurn mivo norq ozu prith quor rusk sveb thaz umbri vrel "
    "wext yold zarn ompa skiv trul plev gorn fexi drav zulk"
)
SYLLABLES = _SYLLABLES.split()  # that names are made of


def lessons(count: int, facts: int, seed: int) -> dict[str, list[Fact]]:
    """`count` lessons of `facts` facts by the name of their theme; raises `ValueError` for too many."""
    if not 1 <= count <= len(THEMES):
        raise ValueError(f"There are 1 to {len(THEMES)} lessons, not {count}")
    chance = random.Random(seed)
    things = -(-facts // QUESTIONS)
    names = _names(chance, count * 2 * things)
    return {theme.name: _lesson(chance, theme, names, things)[:facts] for theme in THEMES[:count]}


def _lesson(chance: random.Random, theme: Theme, names: list[str], things: int) -> list[Fact]:
    """The facts on so many things, which take their names from the end of `names`."""
    facts: list[Fact] = []
    known: set[str] = set()
    group = shared = ""
    *own, common = theme.asks
    for number in range(things):
        one = names.pop()
        if number % GROUP == 0:
            group, shared = names.pop(), _answer(chance, common[1], known)
        facts += [Fact(question.format(one=one), _answer(chance, answer, known)) for question, answer in own]
        facts.append(Fact(common[0].format(one=one, group=group), shared))
    return facts


def _answer(chance: random.Random, template: str, known: set[str]) -> str:
    """The template filled with words drawn at random, unlike all that are `known` already."""
    while True:
        answer = re.sub(r"{(\w+)}", lambda slot: _word(chance, slot[1]), template)
        if answer not in known:
            known.add(answer)
            return answer


def _word(chance: random.Random, slot: str) -> str:
    word = chance.choice(WORDS[slot.lower()])
    return word.capitalize() if slot[0].isupper() else word


def _names(chance: random.Random, count: int) -> list[str]:
    """Names of two or three syllables, all different."""
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(chance.sample(SYLLABLES, chance.choice((2, 3)))).capitalize()] = None
    return list(found)
