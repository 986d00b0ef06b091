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
    "iso8859_15": (
        "question;réponse\nCombien ?;C'est 5 € au café.\n",
        "question;réponse\nQuoi ?;Une sœur, un cœur et des œufs.\n",
    ),
    "iso8859_2": (
        "pytanie;odpowiedź\nGdzie leży miasto?;Nad Wisłą, w północnej części.\n",
        "Pytanie,Odpowiedz\nJak?,Można wejść od dziesiątej.\n",
        "otázka;odpověď\nKdo to říká?;Ještě soused, který tu žije.\n",
    ),
    "cp1254": ("soru;cevap\nKuyu nerede?;Ahırın arkasında, şu büyük ağacın yanında değil.\n",),
    "cp1257": ("klausimas;atsakymas\nKur yra šulinys?;Už daržinės, prie žemės kelio, ačiū.\n",),
}


@pytest.mark.parametrize(
    ("encoding", "text"), [(page, text) for page, texts in TEXTS.items() for text in texts]
)
def test_a_code_page_is_known_by_its_letters(encoding, text):
    decoded = decode(text.encode(encoding), "old.csv")
    title = encoding.replace("cp", "windows-").replace("iso8859_", "iso-8859-")
    assert (decoded.text, decoded.encoding) == (text, title)
    assert title in decoded.notes[0].casefold()


CYRILLIC = "вопрос;ответ\nГде ключ?;Он лежит в ящике под бумагами.\nЧто это такое?;Это ключ от дома.\n"
CHINESE = "question,answer\n学习,你好\n什么是鹪鹩？,鹪鹩是一种小鸟，常见于森林和花园。\n"


@pytest.mark.parametrize(
    ("encoding", "title", "text"),
    [
        ("gb18030", "gb18030", CHINESE),
        ("big5", "big5", "問題,答案\n什麼是鷦鷯？,鷦鷯是一種小鳥，常見於森林和花園，身體很小。\n"),
        ("cp932", "shift-jis", "質問,回答\nミソサザイとは何ですか？,小さな鳥です。森に住んでいます。\n"),
        ("cp949", "euc-kr", "질문,답변\n굴뚝새가 무엇입니까?,숲에 사는 작은 새입니다. 들쥐와 다릅니다.\n"),
        ("cp1251", "windows-1251", CYRILLIC),
        ("koi8_r", "koi8", CYRILLIC),
        ("cp866", "cp866", CYRILLIC),
    ],
)
def test_other_scripts_are_known_by_their_common_characters(encoding, title, text):
    decoded = decode(text.encode(encoding), "old.csv")
    assert (decoded.text, decoded.encoding) == (text, title)
    assert "it was read as" in decoded.notes[0]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("gb18030", "question,answer\n学习,是\n你好,好\n"),  # too little to tell
        ("gb18030", "question,answer\n" + "龘靐齉爩鱻麤龗灪吁龖厵滟爨癵籱饢驫鲡鹂鸾" * 3),  # rare
        ("euc_jp", "質問,回答\nミソサザイとは何ですか？,小さな鳥です。森に住んでいます。\n"),  # or Big5
        (
            "cp949",
            "사과,red\n포도,red\n감귤,red\n자두,red\n수박,red\n참외,red\n호박,red\n당근,red\n배추,red\n양파,red\n",
        ),
        ("cp1253", "Καλημέρα, πού είναι το κλειδί; Είναι στο συρτάρι, κάτω από τα χαρτιά και τα βιβλία.\n"),
        ("cp1255", "איפה המפתח הוא נמצא במגירה מתחת לניירות ולספרים של סבא שלי והוא גדול מאוד\n"),
        ("cp1256", "أين المفتاح إنه في الدرج تحت الأوراق والكتب الخاصة بجدي وهو كبير جدا\n"),
    ],
)
def test_other_old_encodings_are_refused(encoding, text):
    with pytest.raises(ConversationFileError, match="encoding"):
        decode(text.encode(encoding), "old.csv")


@pytest.mark.parametrize("encoding", ["mac_roman", "cp850"])
def test_letters_that_fit_no_code_page_are_refused(encoding):
    text = "Frage;Antwort\nWo ist das Café?;Gleich über der Straße.\nUnd morgen?;Früh um fünf, und Grüße.\n"
    with pytest.raises(ConversationFileError, match="encoding"):
        decode(text.encode(encoding), "old.csv")


def test_words_of_another_language_than_the_letters_are_refused():
    with pytest.raises(ConversationFileError, match="encoding"):
        decode("Frage;Antwort\nWo?;Über der Straße.\n".encode("cp850"), "old.csv")


def test_a_file_of_two_encodings_is_read_as_utf_8_and_its_other_rows_are_refused():
    decoded = decode("question;answer\nCafé?;Oui\n".encode() + "Bébé?;Non\n".encode("cp1252"), "two.csv")
    assert decoded.encoding == "utf-8"
    assert "Café?;Oui" in decoded.text
    assert decoded.notes == ("Bytes that are not UTF-8: 2; the rows that hold them are refused.",)


def test_letters_that_were_saved_in_a_wrong_encoding_are_pointed_out():
    (note,) = decode("question;answer\nWo ist das CafÃ©?;Da.\n".encode(), "twice.csv").notes
    assert "“CafÃ©” look as if" in note
    assert decode("Où ? À Âge, « Ã »".encode(), "right.csv").notes == ()
