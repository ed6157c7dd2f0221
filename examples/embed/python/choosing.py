"""Tasks that choose: log-probabilities of the choices, and the label that follows from them."""

import numpy as np


def choose(task, texts, turns=()):
    return [decide(task.file["choose"], scores)[0] for scores in logprobs(task, texts, turns)]


def logprobs(task, texts, turns=()):
    """For each text the log-probabilities of the choices after it."""
    choices, found = task.file["choose"]["choices"], []
    rows = [[task.encode(text, choice, turns) for choice in choices] for text in texts]
    feeds = sorted({tuple(row[:-1]) for each in rows for row in each})  # often one for all choices of a text
    logits, *_ = task.read(feeds)
    for text, each in zip(texts, rows):
        begin = context_length(task.encode(text, turns=turns), each)
        found.append([])
        for row in each:  # a token's probability is in the logits after the token before it
            steps = logits[feeds.index(tuple(row[:-1]))][begin - len(row) :].astype(np.float64)
            steps -= np.logaddexp.reduce(steps, axis=-1, keepdims=True)
            found[-1].append(float(steps[np.arange(len(steps)), row[begin:]].sum()))
    return found


def context_length(prompt, rows):
    """Tokens that rows of prompt and choice share with the prompt; each row has one more at least."""
    length = min(len(prompt), *(len(row) - 1 for row in rows))
    return next((i for i in range(length) if len({prompt[i], *(row[i] for row in rows)}) > 1), length)


def decide(choose, scores):
    """The label for the choices' log-probabilities, and the labels' probabilities."""
    adjusted = (np.array(scores) - (choose["calibration"] or 0.0)) / choose["temperature"]
    labels, rule = {each["label"]: each["choices"] for each in choose["labels"]}, choose["rule"]
    means = {name: adjusted[indices].mean() for name, indices in labels.items() if indices}
    values = np.array(list(means.values()))
    if rule["kind"] == "softmax":
        found = dict(zip(means, np.exp(values - np.logaddexp.reduce(values))))
    elif rule["kind"] == "independent":
        found = dict(zip(means, logistic(values - rule["offset"])))
        return "; ".join(name for name in labels if found[name] >= rule["threshold"]), found
    else:  # ordered
        odds = np.array([values[0] - values[1], values[1] - values[0]])
        found = dict(zip(means, logistic(odds - rule["margin"])))
        found |= {name: max(0.0, 1 - sum(found.values())) for name in labels if name not in found}
    return max(found, key=found.get), found


def logistic(x):
    return 1 / (1 + np.exp(-np.maximum(x, -700)))
