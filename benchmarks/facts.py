"""Lessons about things that do not exist: questions with short answers that no model can know beforehand.

    for name, facts in lessons(count=4, facts=72, seed=1).items(): ...

The same arguments always give the same facts; another seed gives other names and other answers. A lesson has
one theme and things in groups of four (harbours of an island, say), each asked three questions. Two of the
answers are drawn for each thing and can only be learned by heart. The third is the same in its whole group,
which the question names: whoever learned the others can answer it for a thing that was never taught.
"""

from __future__ import annotations

import random
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
                "{Number} {colour} lamps on a {material} mast.",
            ),
            ("What does a ship pay to enter {one}?", "{Number} jars of {colour} {spice} for each sail."),
            (
                "What is painted on the boats of {one} on the island of {group}?",
                "A {colour} {animal} above {number} {shapes}.",
            ),
        ),
    ),
    Theme(
        "dishes",
        (
            ("How does one cook {one}?", "Boil {number} {colour} {roots} with {spice}."),
            ("In what is {one} served?", "In a {material} bowl under {number} {colour} {leaves}."),
            (
                "When do they eat {one} in the valley of {group}?",
                "In {season}, after the {colour} {animal} has called {number} times.",
            ),
        ),
    ),
    Theme(
        "machines",
        (
            ("What makes the machine {one} move?", "A {material} wheel, wound {number} times by a {animal}."),
            ("What does the machine {one} turn out?", "{Number} {colour} {goods} every {season}."),
            (
                "Where does the workshop of {group} put its mark on the machine {one}?",
                "Under the {number} {material} {goods}, in {colour}.",
            ),
        ),
    ),
    Theme(
        "plants",
        (
            ("What does the plant {one} look like?", "{Number} {colour} {leaves} on a stem like {material}."),
            ("What is the root of {one} good for?", "Ground with {spice}, it turns {goods} {colour}."),
            (
                "What keeps watch over {one} on the moor of {group}?",
                "A {animal} that hides {number} {colour} {roots}.",
            ),
        ),
    ),
    Theme(
        "festivals",
        (
            ("How does the feast of {one} begin?", "{Number} dancers throw {colour} {goods} into the well."),
            ("What is worn at the feast of {one}?", "A {material} mask with {number} {shapes} and {spice}."),
            (
                "What do the elders of {group} carry at the feast of {one}?",
                "A {colour} {animal} on {number} {leaves}.",
            ),
        ),
    ),
    Theme(
        "instruments",
        (
            ("What is the instrument {one} made of?", "{Material} with {number} {colour} strings."),
            ("Who may play the instrument {one}?", "Whoever has carved {number} {shapes} into {roots}."),
            (
                "How do the players of {group} tune the instrument {one}?",
                "With {spice}, until a {colour} {animal} answers in {season}.",
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
        raise ValueError(f"There are 1 to {len(THEMES)} lessons, not {count}.")
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
        drawn = {kind: chance.choice(words) for kind, words in WORDS.items()}
        capitals = {kind.capitalize(): word.capitalize() for kind, word in drawn.items()}
        answer = template.format(**drawn, **capitals)
        if answer not in known:
            known.add(answer)
            return answer


def _names(chance: random.Random, count: int) -> list[str]:
    """Names of two or three syllables, all different."""
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(chance.sample(SYLLABLES, chance.choice((2, 3)))).capitalize()] = None
    return list(found)
