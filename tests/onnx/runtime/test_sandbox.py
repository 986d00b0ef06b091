"""A chat template takes neither time nor memory without end, whatever it is, and whoever asks goes on."""

import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from sails.errors import RequestError
from sails.onnx.runtime import sandbox
from sails.onnx.runtime.chat_template import DEFAULT_CHAT_TEMPLATE, ChatTemplate, Rendering
from sails.system import peak_memory

MESSAGES = [{"role": "user", "content": "Hello"}]
DOUBLING = (
    "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}"
)
ENDLESS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "one call of a library": "{% set n = namespace(x=[1]) %}"
    "{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x == n.x|tojson }}",
    "macros": "{% macro m(i) %}{% if i %}{{ m(i - 1) }}{{ m(i - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
}
HUGE = {
    "a product": "{{ messages[0].content * 3000000000 }}",
    "a filter": "{{ messages[0].content|center(3000000000) }}",
    "a method": "{{ messages[0].content.ljust(3000000000) }}",
    "doubling": DOUBLING,
    "many pieces": "{% for a in range(9000) %}{{ 'x' * 9000 }}{% endfor %}",
}


@pytest.mark.parametrize("kind", HUGE)
@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="memory cannot be limited there")
def test_a_text_that_does_not_fit_is_refused_and_takes_no_memory_here(kind):
    template, before = ChatTemplate(HUGE[kind], {}), peak_memory()
    with pytest.raises(RequestError, match="more time or memory than any chat needs"):
        template.render(MESSAGES)
    assert peak_memory() - before < 50_000_000
    assert ChatTemplate(DEFAULT_CHAT_TEMPLATE, {}).render(MESSAGES) == "User: Hello\nAssistant:"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="memory cannot be limited there")
def test_what_is_computed_when_a_template_is_read_is_limited_too():
    with pytest.raises(RequestError, match="more time or memory"):
        ChatTemplate("{{ 'a'|center(3000000000) }}", {}).render(MESSAGES)


@pytest.fixture
def hasty(monkeypatch):
    """A process that has one second for each text."""
    monkeypatch.setattr(sandbox, "SECONDS", 1.0)
    source = "import sys; sys.path.insert(0, sys.argv[1]); from sails.onnx.runtime import sandbox"
    code = f"{source}; sandbox.SECONDS = 1.0; sandbox.serve()"
    sandbox._end()
    popen = subprocess.Popen
    root = sandbox.__file__.removesuffix("/sails/onnx/runtime/sandbox.py")

    def start(_command, **options):
        return popen([sys.executable, "-c", code, root], **options)

    monkeypatch.setattr(sandbox.subprocess, "Popen", start)
    yield
    sandbox._end()


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.usefixtures("hasty")
def test_a_text_without_end_is_refused_after_a_while_and_every_other_at_once(kind):
    template = ChatTemplate(ENDLESS[kind], {})
    with pytest.raises(RequestError, match="more time or memory"):
        template.render(MESSAGES)
    began = time.monotonic()
    with pytest.raises(RequestError, match="more time or memory"):
        template.render(MESSAGES)
    assert time.monotonic() - began < 0.1
    assert ChatTemplate(DEFAULT_CHAT_TEMPLATE, {}).render(MESSAGES) == "User: Hello\nAssistant:"


def test_texts_are_rendered_for_many_threads_and_none_gets_the_text_of_another():
    template, wrong = ChatTemplate("<{{ messages[0].content }}>", {}), []

    def ask(name: str) -> None:
        for number in range(50):
            text = template.render(f"{name} {number}")
            if text != f"<{name} {number}>":
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_odd_characters_and_values_arrive_as_they_are():
    odd = "a\ud800b\x00\u2028\n🚢"
    template = ChatTemplate("{{ messages[0].content }}{{ tools[0][1] }}{{ bos_token }}", {"bos_token": "<s>"})
    assert template.render(odd, tools=[{1: None}]) == f"{odd}None<s>"


def test_a_process_that_was_killed_is_started_again():
    template = ChatTemplate(DEFAULT_CHAT_TEMPLATE, {})
    assert sandbox._process is not None
    sandbox._process.kill()
    sandbox._process.wait()
    assert template.render("Hi") == "User: Hi\nAssistant:"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_a_process_of_its_own():
    template = ChatTemplate(DEFAULT_CHAT_TEMPLATE, {})
    assert sandbox._process is not None
    mine = sandbox._process.pid
    child = os.fork()
    if child == 0:
        code = 1
        try:
            good = template.render("Hi") == "User: Hi\nAssistant:" and sandbox._process.pid != mine
            sandbox._end()
            code = 0 if good else 1
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert template.render("Ho") == "User: Ho\nAssistant:"
    assert sandbox._process.pid == mine


@pytest.mark.skipif(sys.platform == "win32", reason="needs a kill without goodbye")
def test_the_process_ends_with_whoever_started_it():
    code = (
        "from sails.onnx.runtime import sandbox; sandbox.check('x'); print(sandbox._process.pid, flush=True);"
        "import time; time.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(starter.stdout.readline())
    process = psutil.Process(pid)
    starter.kill()
    starter.communicate()
    process.wait(timeout=10)


LIMITS = (
    "{% if messages[0].content == 'no' %}{{ raise_exception('No.') }}"
    "{% elif messages[0].content == 'much' %}{{ 'x' * 3000000000 }}"
    "{% else %}{{ messages[0].content }}{% endif %}"
)


def test_several_texts_at_once_are_those_that_each_gives_alone():
    several = [*map(str, range(20)), "no", "x" * sandbox.TOGETHER, "again", "no"]
    template = ChatTemplate(LIMITS, {})
    together = template.render_all([Rendering(text) for text in several])
    for text, said in zip(several, together, strict=True):
        if text == "no":
            with pytest.raises(RequestError) as alone:
                template.render(text)
            assert (str(said), said.remedy) == (str(alone.value), alone.value.remedy)
        else:
            assert said == text


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="memory cannot be limited there")
def test_one_text_of_several_that_does_not_fit_takes_nothing_from_those_before_it():
    asked = ["one", "two", "much", "three"]
    said = ChatTemplate(LIMITS, {}).render_all([Rendering(text) for text in asked])
    assert said[:2] == ["one", "two"]
    assert [str(text) for text in said[2:]] == [
        "The model's chat template takes more time or memory than any chat needs."
    ] * 2


@pytest.mark.usefixtures("hasty")
def test_one_text_of_several_without_end_takes_nothing_from_those_before_it():
    endless = "{% if messages[0].content == 'end' %}" + ENDLESS["loops"] + "{% endif %}"
    template = endless + "{{ messages[0].content }}"
    said = ChatTemplate(template, {}).render_all([Rendering(text) for text in ("one", "end", "two")])
    assert said[0] == "one"
    assert all(isinstance(text, RequestError) for text in said[1:])
