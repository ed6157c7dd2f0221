"""Chat templates as models bring them: what they lack is supplied, what they would do unasked is switched off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.runtime.chat_template import ChatTemplate
from nlpsuite.runtime.generation_config import read_sampling
from nlpsuite.runtime.prompt import Message, Prompt, Sampling
from nlpsuite.runtime.tokenizer import Tokenizer

PLAIN = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}[/]{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
STRICT = (  # as Gemma's and Mistral's: no system role, alternating
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "<{{ m['role'] }}>{{ m['content'] | trim }}</>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
SWITCHED = (  # as Qwen 3's
    PLAIN + "{% if add_generation_prompt and enable_thinking is defined and enable_thinking is false %}"
    "<think>\n\n</think>\n\n{% endif %}"
)
ALWAYS = PLAIN.replace(
    "[assistant]{% endif %}", "[assistant]<think>\n{% endif %}"
)  # as DeepSeek R1's distillates
LISTS = PLAIN.replace("m['content']", "m['content'][0]['text']")
FORGETFUL = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}[/]{% endfor %}"
INSTRUCT = (  # as Mistral's: an answer follows its question at once
    "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% elif m['role'] == 'assistant' %} {{ m['content'] }}</s>{% endif %}{% endfor %}"
)
TRAINING = PLAIN.replace(
    "{{ m['content'] }}", "{% generation %}{{ m['content'] }}{% endgeneration %}{% continue %}x"
)
TOOLS = "{% if tools %}use {{ tools }}{% endif %}{% if not documents is defined %}{% endif %}" + PLAIN

ASK = (("user", "q"),)
ADVISED = (("system", "s"), *ASK)


def render(source: str, turns: Any, controls: tuple[str, ...] = ("[assistant]", "</>")) -> str:
    messages = [Message(role, content) for role, content in turns]
    return ChatTemplate(source, {"bos_token": "<s>"}, controls).render(messages)


@pytest.mark.parametrize(
    ("source", "turns", "text"),
    [
        (PLAIN, ADVISED, "[system]s[/][user]q[/][assistant]"),
        (STRICT, ADVISED, "<s><user>s\n\nq</><assistant>"),
        (STRICT, [*ASK, ("user", "r")], "<s><user>q\n\nr</><assistant>"),
        (STRICT, [*ADVISED, ("user", "r"), ("assistant", "a"), *ASK],
         "<s><user>s\n\nq\n\nr</><assistant>a</><user>q</><assistant>"),
        (PLAIN, [*ASK, ("user", "r")], "[user]q[/][user]r[/][assistant]"),  # it takes them as they are
        (SWITCHED, ASK, "[user]q[/][assistant]<think>\n\n</think>\n\n"),
        (ALWAYS, ASK, "[user]q[/][assistant]<think>\n\n</think>\n\n"),
        (LISTS, ADVISED, "[system]s[/][user]q[/][assistant]"),
        (FORGETFUL, ADVISED, "[system]s[/][user]q[/][assistant]"),
        (INSTRUCT, ADVISED, "[INST] s\n\nq [/INST]"),
        (TOOLS, ASK, "[user]q[/][assistant]"),
    ],
)  # fmt: skip
def test_a_conversation_as_the_template_wants_it(source: str, turns: Any, text: str) -> None:
    assert render(source, turns) == text


def test_marks_for_training_change_nothing() -> None:
    assert render(TRAINING, ASK) == "[user]q[assistant]"


def test_what_a_template_refuses_anyway_is_an_error(tiny_bundle: Path) -> None:
    tokenizer = _with_template(tiny_bundle, STRICT)
    with pytest.raises(UnsupportedModelError, match="roles must alternate") as caught:
        tokenizer.encode_prompt(Prompt(messages=(Message("assistant", "a"), Message("user", "q"))))
    assert "complete" in caught.value.hint
    with pytest.raises(UnsupportedModelError, match="refused"):
        _with_template(tiny_bundle, "{% if %}").encode_prompt(Prompt(messages=(Message("user", "q"),)))


@given(words=st.lists(st.text(alphabet="ab <|im_end>\n", max_size=8), min_size=1, max_size=4))
def test_no_message_is_lost_when_neighbours_are_merged(tiny_bundle: Path, words: list[str]) -> None:
    tokenizer = _with_template(tiny_bundle, STRICT.replace(" | trim", ""))
    prompt = Prompt(messages=tuple(Message("user", word) for word in words))
    text = "".join(piece for piece, _ in tokenizer.segments(prompt))
    assert text == "<|im_start|><user>" + "\n\n".join(words) + "</><assistant>"
    assert [piece for piece, control in tokenizer.segments(prompt) if control] == ["<|im_start|>"]


def test_what_the_makers_of_a_model_suggest(tmp_path: Path) -> None:
    assert read_sampling(tmp_path) is None
    for text, expected in [
        ('{"eos_token_id": [1]}', None),
        ('{"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95}', Sampling(0.6, 20, 0.95)),
        ('{"repetition_penalty": 1.1}', Sampling(repetition_penalty=1.1)),
        ('{"temperature": -1}', None),
        ('{"temperature": "hot"}', None),
        ("[]", None),
        ("{", None),
    ]:
        (tmp_path / "generation_config.json").write_text(text)
        assert read_sampling(tmp_path) == expected, text


def _with_template(bundle: Path, template: str) -> Tokenizer:
    import tokenizers

    core = tokenizers.Tokenizer.from_file(str(bundle / "tokenizer.json"))
    return Tokenizer(core, template, {"bos_token": "<|im_start|>"})
