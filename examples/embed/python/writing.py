"""Tasks that write: tokens drawn one by one, and where the text ends."""

import re

import numpy as np
from prompt import clean

NUMBER = r"[0-9]+(?:[.,][0-9]+)*"


def write(task, texts, turns=()):
    return [row.answer for row in generate(task, texts, turns)]


def generate(task, texts, turns=(), **settings):
    """A ``Row`` for each text, in one batch; rows that have ended wait for the others."""
    rows = [Row(task, text, turns, **settings) for text in texts]
    logits, mask, past = task.read([row.prompt for row in rows])
    while True:
        for row, each in zip(rows, logits[:, -1]):
            if row.reason is None:
                row.draw(each)
        if all(row.reason for row in rows):
            return rows
        logits, mask, past = task.read([row.out[-1:] or [0] for row in rows], mask, past)


class Row:
    """A text that is being generated.

    Args:
        greedy: take the likeliest token whatever the task's temperature.
        most: tokens to generate in place of the task's own limit.
    """

    def __init__(self, task, text, turns=(), greedy=False, most=None):
        self.task, self.settings = task, task.file["generate"]
        text = clean(text, task.file["input"]["clean"])
        self.sampling = self.settings["sampling"] | ({"temperature": 0} if greedy else {})
        self.random = np.random.default_rng(self.sampling["seed"])
        length = self.settings["max_new_tokens"]
        self.most = most or min(length["most"], length["base"] + length["per_character"] * len(text))
        self.space = text[len(text.rstrip()) :] if self.settings["token_healing"] and text.strip() else ""
        self.space = self.space if len(self.space) <= 64 else ""
        self.skip = len(self.space)
        self.prompt = task.encode(text.rstrip() if self.space else text, turns=turns)
        self.followers = {}
        for *pair, following in zip(self.prompt, self.prompt[1:], self.prompt[2:]):
            self.followers.setdefault(tuple(pair), set()).add(following)
        self.numbers = set(re.findall(NUMBER, text)) if self.settings["numbers_from_text"] else None
        self.begun = ""  # of a number
        self.out, self.seen, self.text, self.reason = [], set(), "", None

    @property
    def answer(self):
        return clean(self.settings["prefix"] + self.text, self.settings["clean"])

    def draw(self, logits):
        """Draw the next token; ``reason`` is set when the text has ended."""
        if self.space:
            self.keep(
                logits, lambda text: text.startswith(self.space) or (text and self.space.startswith(text))
            )
        if self.numbers is not None:
            self.limit_numbers(logits)
        token = self.pick(logits)
        text = token_texts(self.task)[token]
        self.seen.add(token)
        self.space = self.space[len(text) :]
        if self.numbers is not None:
            self.begun = self.after(text) or ""
        ends_after = self.settings["sentence_end_after"]
        late = ends_after is not None and len(self.out) >= ends_after
        if token in self.settings["end_token_ids"]:
            self.reason = "stop"
        elif late and text[:1].isspace() and ends_sentence(self.text):
            self.reason = "sentence"
        else:
            self.out.append(token)
            self.text = self.task.decode(self.out)[self.skip :]
            stops = [self.text.find(stop) for stop in self.settings["stop"] if stop in self.text]
            if stops:
                self.text, self.reason = self.text[: min(stops)], "stop"
            elif len(self.out) >= self.most:
                self.reason = "length"
            elif len(self.prompt + self.out) >= self.task.file["model"]["context_length"]:
                self.reason = "context"

    def pick(self, logits):
        """The next token, by penalty, bias and sampling."""
        sampling = self.sampling
        seen = np.array(sorted(self.seen), int)
        factors = np.where(
            logits[seen] > 0, 1 / sampling["repetition_penalty"], sampling["repetition_penalty"]
        )
        logits[seen] *= factors.astype(np.float32)
        logits[list(self.followers.get(tuple(self.out[-2:]), ()))] += np.float32(sampling["copy_bias"])
        if sampling["temperature"] == 0:
            return int(logits.argmax())
        order = np.argsort(-logits, kind="stable")[: sampling["top_k"] or None]
        scaled = logits[order].astype(np.float64) / sampling["temperature"]
        likely = np.exp(scaled - np.logaddexp.reduce(scaled))
        likely = likely[: int(np.searchsorted(likely.cumsum(), sampling["top_p"])) + 1]
        likely = likely[likely >= sampling["min_p"] * likely[0]]
        return int(self.random.choice(order[: len(likely)], p=likely / likely.sum()))

    def keep(self, logits, good):
        """Rule out the tokens whose text isn't good."""
        logits[[not good(text) for text in token_texts(self.task)]] = -np.inf

    def limit_numbers(self, logits):
        """Rule out what would make a number that the text doesn't have."""
        left = self.most - len(self.out)
        near = [
            (i, text) for i, text in enumerate(token_texts(self.task)) if re.search(r"[0-9]|\A[.,]\Z", text)
        ]
        after = {i: self.after(text) for i, text in near}
        allowed = [i for i, begun in after.items() if begun is not None and self.missing(begun) < left]
        values = logits[allowed]
        logits[[i for i, _ in near] if self.missing(self.begun) == 0 else slice(None)] = -np.inf
        logits[allowed] = values

    def after(self, text):
        """What of a number is begun after a token's text; None if that number isn't allowed."""
        begun = self.begun
        for character in text:
            longer = begun + character
            can_grow = any(number.startswith(longer) for number in self.numbers)
            if character in "0123456789":
                if not can_grow:
                    return None
                begun = longer
            elif (
                character in ".," and begun and begun[-1] not in ".," and (can_grow or begun in self.numbers)
            ):
                begun = longer
            elif begun and begun.rstrip(".,") not in self.numbers:
                return None
            else:
                begun = ""
        return begun

    def missing(self, begun):
        """Characters that complete the shortest number with this beginning."""
        if not begun or begun.rstrip(".,") in self.numbers:
            return 0
        return min(len(number) for number in self.numbers if number.startswith(begun)) - len(begun)


def token_texts(task):
    """The text of each token by itself."""
    if not hasattr(task, "token_texts"):
        task.token_texts = [task.decode([i]) for i in range(task.vocabulary)]
    return task.token_texts


def ends_sentence(text):
    return text.rstrip("\"')]}»”’」』）】")[-1:] in set(".!?。！？…")
