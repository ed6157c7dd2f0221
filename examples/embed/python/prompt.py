"""Prompts by a task file: texts cut and cleaned, and the tokens that the model reads."""

import re

# Where a text is cut; a simple rule for sentences.
CUTS = {"text": r"(?!)()", "line": r"(\s*\n\s*)"}
CUTS["sentence"] = r"(\s*\n\s*|(?:(?<=[.!?…])|(?<=[.!?…][\"'”’)»\]]))\s+(?=[\"'“‘(«\[]*[^\W_a-z]))"
CLEAN = {"strip": str.strip, "strip_start": str.lstrip, "strip_end": str.rstrip}
CLEAN["collapse_whitespace"] = lambda text: " ".join(text.split())


def cut(file, text):
    """Units and what stands between them, in turn."""
    return re.split(CUTS[file["input"]["unit"]], text)


def clean(text, steps):
    for step in steps:
        text = CLEAN[step](text)
    return text


def encode(file, ids_of, text, choice="", turns=()):
    """The ids of a prompt.

    Args:
        ids_of: the tokenizer, without control tokens.
        choice: what is appended.
        turns: of a conversation, pairs of question and answer.
    """
    prompt, steps = file["prompt"], file["input"]["clean"]
    parts = [(part, {prompt["placeholder"]: text}) for part in prompt["parts"]]
    for question, answer in reversed(turns):
        said = {prompt["turns"]["question"]: question, prompt["turns"]["answer"]: answer}
        at = prompt["turns"]["before_part"]
        parts[at:at] = [(part, said) for part in prompt["turns"]["parts"]]
    ids, waiting = [], ""
    for part, said in [*parts, ({"text": choice}, {"": ""})]:
        if "id" in part:
            ids += [*ids_of(waiting), part["id"]]
            waiting = ""
        else:
            places = "|".join(map(re.escape, said)) or "(?!)"
            waiting += re.sub(places, lambda match, said=said: clean(said[match[0]], steps), part["text"])
    return [*ids, *ids_of(waiting)] or [prompt["if_empty"]]
