"""The names that people give to the columns of a table, in one list: a new word or language is a word here.

Names are compared without upper and lower case, accents, numbers and what stands in brackets, so that
“Frage (DE):”, “frage” and “FRAGE 2” are one name. A name of several words counts when each of its words
does: “user question”, “expected answer”, “system_prompt”, “modelOutput”.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache

QUESTION = """
question questions query queries prompt prompts input inputs enquiry inquiry faq problem problems problema
probleme frage fragen anfrage anfragen eingabe demande demandes requete entree pregunta preguntas consulta
entrada pergunta perguntas questao questoes domanda domande quesito richiesta pytanie pytania zapytanie
vraag vragen otazka otazky sporgsmal sporsmal fraga fragor kysymys kerdes intrebare soru pitanje вопрос
вопросы питання 题目 問い合わせ dotaz ask kundenfrage kundenanfrage nutzerfrage nutzeranfrage
benutzerfrage beispielfrage testfrage quizfrage prufungsfrage お問い合わせ お問い合わせ内容 質問内容
问题内容 問題內容 用户问题
用户输入 запитання spurning pyetje tanong сұрақ sual հարց კითხვა கேள்வி
問合せ 问题描述 问句 문의 질문내용 问题 問題 提问 提問 问 問 输入 輸入 质问
質問 質問文 問い 入力 질문 ερωτηση cau hoi pertanyaan soalan kusimus jautajums klausimas vprasanje
въпрос питање پرسش প্রশ্ন คำถาม swali سؤال السؤال שאלה प्रश्न
"""
ANSWER = """
answer answers truth musterantwort beispielantwort 回答内容 回答例 回覆內容 回复内容 标准答案 参考答案
模型输出 pergjigje sagot жауап cavab պատասխան პასუხი பதில்
模範解答 응답 답 response responses reply replies completion completions output outputs solution antwort
antworten ausgabe losung reponse reponses sortie respuesta respuestas contestacion salida resposta
respostas saida risposta risposte odpowiedz odpowiedzi antwoord antwoorden uitvoer odpoved odpovedi svar
vastaus valasz raspuns cevap yanit odgovor ответ ответы відповідь 答案 回答 答 回复 回覆 答复 答覆 输出
輸出 答え 返答 応答 出力 解答 답변 απαντηση cau tra loi jawaban jawapan vastus atbilde atsakymas отговор
одговор پاسخ উত্তর คำตอบ jibu جواب الجواب الإجابة תשובה उत्तर
"""
# Pairs of names that mean little alone: one of each, of the same line.
PAIRS = (
    (
        "user users human customer client kunde nutzer benutzer utilisateur usuario utente cliente 用户 "
        "用戶 klant ユーザー",
        "assistant bot chatbot gpt chatgpt ai agent model assistent asistente assistente agente 助手 "
        "アシスタント",
    ),
    ("q f p d v", "a r"),  # Q/A, F/A, Q/R, P/R, D/R, V/A
    (
        "front vorderseite recto anverso frente fronte awers voorkant voorzijde 正面 表 表面",
        "back ruckseite verso reverso dorso retro rewers achterkant achterzijde 反面 背面 裏 裏面",
    ),
    (
        "term terms word words phrase expression concept begriff wort vokabel terme mot termino "
        "palabra termo palavra termine parola pojecie slowo termin begrip woord 术语 術語 词 词语 "
        "单词 单字 単語 用語",
        "definition definitions meaning meanings translation explanation description bedeutung "
        "erklarung erlauterung ubersetzung signification traduction definicion significado "
        "traduccion definicao traducao definizione significato traduzione definicja znaczenie "
        "tlumaczenie definitie betekenis vertaling 定义 定義 意思 释义 解释 翻译 意味 説明 訳",
    ),
    ("source original src", "target tgt"),
    ("issue concern complaint symptom anliegen beschwerde", "resolution fix remedy abhilfe"),
    ("article document dialogue dialog story passage text", "summary highlights zusammenfassung"),
)
INSTRUCTION = """
instruction instructions directive anweisung anweisungen aufgabe instruktion consigne instruccion
instrucciones instrucao instrucoes istruzione istruzioni polecenie instrukcja opdracht instructie 指令
指示 命令
"""
# The material of an instruction.
INPUT = "input inputs eingabe entree entrada ingresso invoer 输入 輸入 入力"
CONTEXT = """
context contexts passage passages background paragraph article story excerpt kontext hintergrund
contexte contexto contesto kontekst tlo passaggio pasaje 上下文 背景 文脈 コンテキスト 段落
"""
SYSTEM = """
system sys systemprompt systemmessage systemnachricht systemanweisung developer sysprompt systeme sistema
systemowy systemprompts 系统 系統 系统提示 系统提示词 系統提示 系统消息 システム システムプロンプト
"""
# Whom the assistant plays: instructions, where no column is called so.
PERSONA = "persona personas personality character 人设 角色设定 人格 ペルソナ キャラクター設定"
HISTORY = (
    "history verlauf historique historial historico storico historia 历史 历史对话 対話履歴 会話履歴 履歴"
)
CHAT = (
    "messages conversations conversation turns chat dialog dialogue dialogs dialogues unterhaltung gesprach"
)

# A table of turns: who speaks, what, in which conversation, when, and after which other turn.
SPEAKER = """
role from speaker sender author who participant username rolle sprecher absender rol papel ruolo rola locuteur
orador oratore роль автор отправитель 角色 说话人 发言人 役割 話者
"""
PERSON = "name nom nombre nome naam imie 名前 名字"  # where a table tells conversations apart
LOGGED = "user nick nickname nutzer benutzer utilisateur usuario utente 用户"  # where a log says when it was
SAID = """
content text message value parts body utterance msg inhalt nachricht contenu texte mensaje contenido texto
conteudo mensagem текст сообщение testo messaggio contenuto tresc wiadomosc tekst inhoud bericht
内容 消息 文本 メッセージ 本文 テキスト 発言
"""
DIALOGUE = """
conversation conversations conv tree dialogue dialog chat thread session ticket case call unterhaltung
gesprach chatverlauf fil hilo диалог чат беседа conversacion conversa conversazione rozmowa watek
gesprek 对话 会话 對話 会話 スレッド
"""
ORDER = """
ts turn position index idx order created create sent seq sequence step nr no number timestamp time date
datetime zeitstempel zeit datum zeitpunkt reihenfolge horodatage heure fecha hora orden data ora czas
kolejnosc tijd volgorde 时间 顺序 日時 順番
"""
PARENT, IDENTITY, RANK = "parent reply replies", "id uuid guid", "rank"

# What is a question where the other column is an answer by its name.
ASKED = " pattern patterns utterance message request statement"
# The choices of a question; an answer that is only a letter or number says nothing without them.
CHOICES = """
a b c d e f opt option options choice choices candidates multiplechoice distractor distractors auswahl opcion
opciones opcao opcoes
scelta 选项 選択肢
"""
# What is an answer where the other column is a question by its name.
CLEAR_SPEAKERS = "target assistant bot chatbot gpt chatgpt assistent asistente assistente 助手 アシスタント"
# Who speaks in a table of turns, beside the roles of chat templates.
USERS = (
    PAIRS[0][0]
    + " prompter visitor caller me member student patient kundin klient besucher anrufer пользователь клиент"
)
ASSISTANTS = (
    PAIRS[0][1] + " support operator advisor tutor teacher doctor helpdesk service mitarbeiter berater "
    "medewerker soporte asesor conseiller consulente operatore atendente konsultant ассистент бот оператор"
)

# Words that say nothing of which column it is.
_FILLERS = """
text texts message messages msg body content the my your our full raw column field string new final clean
correct right corrected edited revised improved rewritten modified fixed updated ground best expected
ideal reference gold golden accepted sample suggested example en de fr es pt it pl nl correcte richtige
korrekte korrigierte verbesserte uberarbeitete erwartete correcta correcto corretta corretto correta
correto esperada esperado attendue attendu attesa prevista corrigee corregida corrigida oczekiwana
poprawna verwachte juiste unsere unser notre nuestra nossa nostra faq statement
do da di dei del della delle du des d l von van vom der die das le la les el los il lo title subject
betreff titel titre titulo nachricht inhalt
spalte texte mensaje texto testo tekst in to
"""
LONGEST_NAME = 80
_MARKS = "id ids nr no number key uuid guid ts at on utterance"
_BRACKETS = re.compile(r"[(\[（【].*?[)\]）】]")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_APART = re.compile(r"[\W\d_]+")
_UNLIKE = str.maketrans("łøđæœıß", "lodeeis")


@lru_cache(4096)
def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name as they are compared; none of a text that is too long for a name."""
    if len(name) > LONGEST_NAME:
        return ()
    return _words(_CAMEL.sub(" ", _BRACKETS.sub(" ", name.replace("#", " number "))))


@cache
def names(text: str) -> frozenset[str]:
    """Return the words of one of the lists above as they are compared."""
    return frozenset(word for name in text.split() for word in _words(name))


def is_named(name: str, text: str, other: str = "") -> bool:
    """Tell whether each word of a name stands in a list, or says nothing; one must stand in the list.

    `other` lists more words that say nothing here.
    """
    words, known = words_of(name), names(text)
    return any(word in known for word in words) and all(
        word in known or word in names(_FILLERS) or word in names(other) for word in words
    )


def is_marked(name: str, text: str) -> bool:
    """Tell the same of a name that may have a mark of a key, as in “conversation_id” and “created at”."""
    return is_named(name, text, _MARKS)


def _words(text: str) -> tuple[str, ...]:
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c)).translate(_UNLIKE)
    return tuple(_APART.sub(" ", plain).split())
