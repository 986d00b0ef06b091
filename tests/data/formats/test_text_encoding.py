"""Files of older programs: read in the code page that their letters fit, or refused, and never as rubbish."""

import pytest

from sails.data.formats.text_encoding import decode
from sails.errors import ConversationFileError

TEXTS = {
    "cp1250": (
        "pytanie;odpowiedź\nGdzie leży miasto?;Nad Wisłą, w północnej części.\n",
        "Pytanie,Odpowiedz\nJak?,Można wejść od dziesiątej.\n",
        "otázka;odpověď\nKdo to říká?;Říká to soused, který tu žije.\n",
        "otázka;odpoveď\nKde je to?;Za stodolou, ďakujeme, vedľa sú štyri kĺby.\n",
        "kérdés;válasz\nKi jön?;Én és ő, győződjön meg róla.\n",
        "pitanje;odgovor\nGdje je kuća?;Kuća je iza štale, možda i niže.\n",
        "întrebare;răspuns\nUnde este?;Este în spatele şurii, lângă fântână.\n",
    ),
    "cp1252": (
        "Frage;Antwort\nWie groß?;5 m² und 3 cm³, ½ Liter, 20 °C, für „alle“.\n",
        "question;réponse\nOù est le puits ?;Derrière la grange, à côté du pré.\n",
        "question;réponse\nQuoi ?;Une idée, près de là.\n",
        "pregunta;respuesta\n¿Qué hay?;Mañana habrá más, señor.\n",
        "pergunta;resposta\nO que é?;Não é nada, são só maçãs.\n",
        "domanda;risposta\nCosa c'è?;È già lì, perché è più facile così.\n",
        "fråga;svar\nVar är det?;Det är på ön, bakom bäcken.\n",
        "spørgsmål;svar\nHvor er øen?;Øen er på den anden side af åen, også for børn.\n",
        "vraag;antwoord\nWaar is het?;Eén keer rechts, vóór België.\n",
        "question;answer\nHow much is it?;£5, or €6 at the café – “cash” only.\n",
        "q;a\nWho came?;Herr Müller, señor Peña and Zoë Ångström.\n",
    ),
    "cp1254": ("soru;cevap\nKuyu nerede?;Ahırın arkasında, şu büyük ağacın yanında değil.\n",),
    "cp1257": ("klausimas;atsakymas\nKur yra šulinys?;Už daržinės, prie žemės kelio, ačiū.\n",),
}


@pytest.mark.parametrize(
    ("encoding", "text"), [(page, text) for page, texts in TEXTS.items() for text in texts]
)
def test_a_code_page_is_known_by_its_letters(encoding, text):
    decoded = decode(text.encode(encoding), "old.csv")
    assert (decoded.text, decoded.encoding) == (text, encoding.replace("cp", "windows-"))
    assert encoding.replace("cp", "Windows-") in decoded.notes[0]


@pytest.mark.parametrize("encoding", ["mac_roman", "cp850"])
def test_letters_that_fit_no_code_page_are_refused(encoding):
    text = "Frage;Antwort\nWo ist das Café?;Gleich über der Straße.\nUnd morgen?;Früh um fünf, und Grüße.\n"
    with pytest.raises(ConversationFileError, match="encoding"):
        decode(text.encode(encoding), "old.csv")
