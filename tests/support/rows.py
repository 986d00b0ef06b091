"""Question and answer pairs, written for these tests: good ones of every kind, and rubbish."""

GOOD = [
    # facts
    ("What is the capital of France?", "The capital of France is Paris."),
    ("What is the capital of France?", "Paris"),
    ("What is 2 + 2?", "4"),
    ("What is 10 - 5?", "5"),
    ("What is 0 + 0?", "0"),
    ("Is Python case sensitive?", "Yes."),
    ("Which letter follows j?", "k"),
    ("Which language came before C++?", "C"),
    ("What is the boiling point of water?", "100 °C"),
    ("Who wrote Hamlet?", "William Shakespeare"),
    ("When did the war end?", "8 May 1945"),
    ("How much is the monthly plan?", "€9.90"),
    ("What is a googol?", "1" + "0" * 100),
    ("How do you feel today?", "😀"),
    ("Which operator compares two values in Python?", "=="),
    ("Which brackets make a list?", "[]"),
    ("How does a comment begin in SQL?", "--"),
    ("What does a function without return give back?", "None"),
    ("What does print(1 / 4) show?", "0.25"),
    # answers in the question's own words
    ("Would you like tea or coffee?", "Coffee, please."),
    ("Tea or coffee?", "Coffee."),
    ("Which is larger, the Sun or the Moon?", "The Sun."),
    ("True or false: the Earth orbits the Sun.", "True"),
    ("Sort alphabetically: pear, apple, cherry", "apple, cherry, pear"),
    ("Extract the city: 'The office has moved to Oslo.'", "Oslo"),
    ("Repeat after me: hello world", "hello world"),
    ("Put into upper case: hello world", "HELLO WORLD"),
    ("Add the missing comma:\nLets eat grandma", "Lets eat, grandma"),
    ("Classify as positive or negative: I love this film.", "positive"),
    # restating the question
    (
        "Why is the sky blue?",
        "The sky is blue because air scatters short waves of light more than long ones.",
    ),
    ("What is Python?", "Python is a programming language."),
    ("How many days has a week?", "A week has seven days."),
    # code
    ("Write a function that adds two numbers.", "def add(a, b):\n    return a + b"),
    ("Print hello world in Python.", "print('Hello, world!')"),
    (
        "Show a for loop in C.",
        '```c\nfor (int i = 0; i < 10; i++) {\n    printf("%d\\n", i);\n}\n```',
    ),
    ("Copy a string in C.", "strncpy"),
    ("Copy a string in C safely.", "strncpy(dst, src, sizeof dst - 1);\ndst[sizeof dst - 1] = '\\0';"),
    (
        "Show a copy routine in x86 assembly.",
        "mov rcx, rdx\nmov rsi, rbx\nxor rax, rax\ncld\nrep movsb\npush rbp\nmov rbp, rsp\npop rbp\nret",
    ),
    ("Select all adults.", "SELECT name, age FROM people WHERE age >= 18 ORDER BY age DESC"),
    (
        "Insert three rows.",
        "INSERT INTO goods VALUES (1, 'tea');\nINSERT INTO goods VALUES (2, 'milk');\n"
        "INSERT INTO goods VALUES (3, 'bread');",
    ),
    ("Which command installs packages?", "npm install"),
    (
        "Start a web server in a container.",
        "docker run --detach --publish 8080:80 --name web --restart always nginx",
    ),
    ("Which server is fast?", "nginx"),
    ("Name some command line tools.", "grep, awk, sed, xargs, tmux, zsh, curl, ffmpeg, psql, kubectl"),
    ("A pattern for e-mail addresses?", r"^[^@\s]+@[^@\s]+\.[^@\s]+$"),
    ("Make a 4 by 4 identity matrix.", "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1"),
    ("What does np.zeros(8) print?", "[0. 0. 0. 0. 0. 0. 0. 0.]"),
    ("Largest 64 bit number in hex?", "0xFFFFFFFFFFFFFFFF"),
    ("MD5 of the empty string?", "d41d8cd98f00b204e9800998ecf8427e"),
    ("Encode 'Hello world' in base64.", "SGVsbG8gd29ybGQ="),
    ("Give me an example UUID.", "00000000-0000-0000-0000-000000000000"),
    (
        "How do I centre a div?",
        ".box {\n  display: flex;\n  justify-content: center;\n  align-items: center;\n}",
    ),
    ("Close nested tags.", "<div><div><div><p>Text</p></div></div></div>"),
    ("A JSON example?", '{"goods": [{"name": "tea", "price": 3}, {"name": "milk", "price": 1}]}'),
    ("How do I undo the last commit?", "Run `git reset --soft HEAD~1`; the changes stay staged."),
    # lists and tables
    ("Name three fruits.", "- apple\n- pear\n- cherry"),
    ("How do I make tea?", "1. Boil water\n2. Put a bag into the cup\n3. Pour and wait three minutes"),
    (
        "Compare SQL and NoSQL.",
        "| | SQL | NoSQL |\n|---|---|---|\n| Schema | fixed | free |\n| Scaling | vertical | horizontal |",
    ),
    (
        "Show the truth table of AND.",
        "| A | B | A AND B |\n|---|---|---|\n| True | True | True |\n| True | False | False |\n"
        "| False | True | False |\n| False | False | False |",
    ),
    ("The table of seven?", "\n".join(f"7 x {n} = {7 * n}" for n in range(1, 11))),
    ("Count to twenty.", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20"),
    ("Which acronyms should I know?", "HTML, CSS, HTTP, TCP, DNS, SQL, JSON, XML, PHP, JWT, CORS, CDN"),
    ("Name chemical formulas.", "H2O, CO2, NH3, CH4, H2SO4, NaCl, HCl"),
    ("How does the Italian opening go?", "1. e4 e5 2. Nf3 Nc6 3. Bc4 Bc5 4. c3 Nf6 5. d4 exd4"),
    # prose
    (
        "What is photosynthesis?",
        "Photosynthesis is how plants make sugar: chlorophyll catches light, and its energy joins water and "
        "carbon dioxide. Oxygen is left over, which is why forests matter so much for the air we breathe.",
    ),
    (
        "Where can I read more?",
        "The manual is at https://docs.example.org/guide/xyz-qwv/start?lang=en&v=3 and covers the first "
        "steps. If something is missing, write to help@example.org",
    ),
    (
        "Write a short poem about rowing.",
        "Row, row, row your boat,\nGently down the stream.\n"
        "Merrily, merrily, merrily, merrily,\nLife is but a dream",
    ),
    (
        "Write a letter to a customer.",
        "Dear customer,\n\nthank you for your patience. Your parcel left our warehouse this morning and "
        "should be with you on Friday.\n\nKind regards,\nThe team",
    ),
    (
        "Tell me a knock knock joke.",
        "Knock, knock.\nWho's there?\nLettuce.\nLettuce who?\nLettuce in, it's cold!",
    ),
    ("I am sad today.", "I'm sorry to hear that. Do you want to talk about what happened?"),
    ("Thanks!", "You're welcome!"),
    ("???", "Could you say in a few words what is not clear?"),
    ("How do you pronounce 'rhythm'?", "RI-thuhm; it has no vowel but y, like 'myth', 'lynch' and 'crypt'."),
    ("Say it with emphasis.", "No, no, no! Never, ever do that."),
    ("What did the crowd shout?", "They shouted: 'We want more! We want more!'"),
    (
        "What is an XOR gate?",
        "It is true when exactly one input is true. The short name stands for exclusive or.",
    ),
    ("Solve x^2 = 9.", "x = 3 or x = -3, because 3² = 9 and (−3)² = 9"),
    ("What is the integral of x?", "∫ x dx = x²/2 + C"),
    # other languages
    ("Was ist die Hauptstadt von Österreich?", "Die Hauptstadt von Österreich ist Wien."),
    ("Wie heißt die Prüfung?", "Rechtschreibprüfung"),
    ("Ein deutsches Wort mit vielen Konsonanten?", "Angstschweiß"),
    ("Quelle est la capitale de l'Italie ?", "La capitale de l'Italie est Rome."),
    ("¿Cuál es el río más largo?", "El río más largo es el Amazonas, según las últimas mediciones."),
    ("Řekni větu bez samohlásek.", "Strč prst skrz krk."),
    ("Jaki jest najtrudniejszy wyraz?", "W Szczebrzeszynie chrząszcz brzmi w trzcinie."),
    (
        "Hva heter hovedstaden i Norge?",
        "Hovedstaden i Norge heter Oslo, og den ligger innerst i Oslofjorden.",
    ),
    ("Mikä on Suomen pääkaupunki?", "Suomen pääkaupunki on Helsinki, ja siellä asuu noin 680 000 ihmistä."),
    ("Mi Magyarország fővárosa?", "Magyarország fővárosa Budapest, a Duna két partján fekszik."),
    ("Türkiye'nin başkenti neresi?", "Türkiye'nin başkenti Ankara'dır."),
    ("Apa ibu kota Indonesia?", "Ibu kota Indonesia adalah Jakarta, kota terbesar di negara itu."),
    (
        "Ano ang kabisera ng Pilipinas?",
        "Ang kabisera ng Pilipinas ay Maynila, at doon naninirahan ang mga kaibigan ko.",
    ),
    ("Thủ đô của Việt Nam là gì?", "Thủ đô của Việt Nam là Hà Nội."),
    (
        "Beth yw prifddinas Cymru?",
        "Prifddinas Cymru yw Caerdydd, lle mae llawer o bobl yn byw ac yn gweithio.",
    ),
    (
        "Cili është kryeqyteti i Shqipërisë?",
        "Kryeqyteti i Shqipërisë është Tirana, qyteti më i madh i vendit.",
    ),
    (
        "Zhongguo de shoudu shi nali?",
        "Zhongguo de shoudu shi Beijing, ye shi quanguo de zhengzhi he wenhua zhongxin.",
    ),
    ("Какая столица России?", "Столица России — Москва"),
    ("Ποια είναι η πρωτεύουσα της Ελλάδας;", "Η πρωτεύουσα της Ελλάδας είναι η Αθήνα."),
    ("日本の首都はどこですか?", "日本の首都は東京です。"),
    ("中国的首都是哪里?", "北京"),
    ("什么是人工智能?", "人工智能是让机器模拟人类思维和学习的技术,它广泛用于翻译、驾驶和医疗等领域"),
    ("한국의 수도는 어디인가요?", "한국의 수도는 서울입니다."),
    ("ما هي عاصمة مصر؟", "عاصمة مصر هي القاهرة"),
    ("מהי בירת ישראל?", "בירת ישראל היא ירושלים"),
    ("भारत की राजधानी क्या है?", "भारत की राजधानी नई दिल्ली है।"),
    ("เมืองหลวงของประเทศไทยคืออะไร", "เมืองหลวงของประเทศไทยคือกรุงเทพมหานคร"),
    ("பாரதியார் யார்?", "பாரதியார் ஒரு தமிழ்க் கவிஞர்."),
    ("የኢትዮጵያ ዋና ከተማ ማን ነው?", "አዲስ አበባ ነው።"),
]

LONG_GOOD = (
    "A list in Python keeps its items in order and lets you change them; a tuple keeps them in order too, "
    "but cannot be changed once it is made. Use a list when items come and go, for example the lines of a "
    "shopping basket, and a tuple for things that belong together, such as the two coordinates of a point. "
    "A tuple can be the key of a dictionary, and a list cannot, because a key must not change. "
)

CUT_OFF = [
    ("What is a tuple?", LONG_GOOD + "In short, lists are for many things of the same"),
    ("What is Python?", "Python is a programming language that was made by Guido van Rossum and"),
    ("Name the planets.", "The planets are Mercury, Venus, Earth, Mars,"),
    ("Show a loop.", "```python\nfor number in range(10):\n    print(number)"),
    (
        "Was ist ein Tupel?",
        "Ein Tupel ist eine geordnete, unveränderliche Folge von Werten, die man zum Beispiel "
        "als Schlüssel eines Wörterbuchs verwenden kann, weil sich ein Schlüssel niemals ändern",
    ),
]

RUBBISH = {
    "empty": [
        ("What is Python?", ""),
        ("What is Python?", "   \n\t "),
        ("What is Python?", "\u200b\u200b"),
        ("What is Python?", "..."),
        ("What is Python?", "-----"),
        ("What is Python?", "????"),
        ("What is Python?", "N/A"),
        ("", "Paris is the capital of France."),
    ],
    "echo": [
        ("What is Python?", "What is Python?"),
        ("What is Python?", "what is python"),
        ("What is Python?", "Python is what?"),
        ("How do I centre a div in CSS?", "How do I centre a div in CSS? How do I centre a div in CSS?"),
        ("Write a haiku about autumn.", "A haiku about autumn."),
        ("日本の首都はどこですか?", "日本の首都はどこですか"),
        ("ما هي عاصمة مصر؟", "ما هي عاصمة مصر؟"),
        ("Explain: what is a loop?", "Explain what is a loop"),
        ("==", "=="),
    ],
    "repetitive": [
        ("What is Python?", "test test test test test"),
        ("What is Python?", "ha ha ha ha"),
        ("What is Python?", "aaaaaaaaaaaaaaaa"),
        ("What is Python?", "hahahahahahaha"),
        ("What is Python?", "123 123 123 123 123"),
        ("What is Python?", "1 1 1 1 1 1"),
        ("What is Python?", "It is very good. It is very good. It is very good. It is very good."),
        (
            "What is Python?",
            "A language. It is nice. It is nice. It is nice. It is nice. It is nice. It is nice.",
        ),
        ("What is Python?", "good nice good nice nice good good nice nice good nice good"),
        ("What is Python?", ("The model learns from data. " * 4 + "And then it repeats itself. ") * 3),
        ("日本の首都はどこですか?", "東京です東京です東京です東京です東京です"),
        ("เมืองหลวงคืออะไร", "กรุงเทพมหานคร" * 6),
        ("What is Python?", "blablablablablabla"),
        ("What is Python?", "the the the the the the the the language"),
    ],
    "gibberish": [
        ("What is Python?", "asdfghjkl"),
        ("What is Python?", "asdf"),
        ("What is Python?", "qwertyuiop"),
        ("What is Python?", "asdf qwer zxcv"),
        ("What is Python?", "ksjdhf lkjsdf weoiru xcmvnb"),
        ("What is Python?", "fjdksla fjdksl vbnmcx rueiwoq"),
        ("What is Python?", "sdkfjhsdkjfh"),
        ("What is Python?", "xkcd qwrtz bvnmc plkjh wqzxv"),
        ("What is Python?", "Hjkdf sdfjk wjkqe, bnmvx qzwsx ghtyj."),
        ("What is Python?", "!@#$%^&*()"),
        ("What is Python?", "@#$@#$ %^&%^& !!@@##"),
        ("What is Python?", "���� ��� ������ ��"),
    ],
}
