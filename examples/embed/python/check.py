"""Do the golden examples of a task file come out as they should?"""

import choosing
import numpy as np
import writing


def check(task):
    """Print what differs; returns the number of examples that do."""
    goldens = task.file["golden"]
    problems = [
        check_choice(task, g) if task.file["kind"] == "choose" else check_text(task, g) for g in goldens
    ]
    for golden, problem in zip(goldens, problems):
        if problem:
            print(f"{golden['text']!r}: {problem}")
    wrong = sum(map(bool, problems))
    print(f"{len(goldens) - wrong} of {len(goldens)} golden examples agree.")
    return wrong


def check_choice(task, golden):
    rows = [
        task.encode(golden["text"], choice, golden.get("turns", ()))
        for choice in task.file["choose"]["choices"]
    ]
    if rows != [golden["prompt_ids"] + ids for ids in golden["choice_ids"]]:
        return "other tokens"
    [scores] = choosing.logprobs(task, [golden["text"]], golden.get("turns", ()))
    if np.abs(np.array(scores) - golden["logprobs"]).max() > task.file["tolerance"]["logprob"]:
        return f"log-probabilities {scores} instead of {golden['logprobs']}"
    label, found = choosing.decide(task.file["choose"], golden["logprobs"])
    expected = golden.get("probabilities", {})
    if label != golden["label"] or any(abs(found[name] - p) > 1e-3 for name, p in expected.items()):
        return f"{label}, {found} instead of {golden['label']}, {expected}"
    return ""


def check_text(task, golden):
    [row] = writing.generate(
        task, [golden["text"]], golden.get("turns", ()), greedy=True, most=golden["max_new_tokens"]
    )
    if row.prompt != golden["prompt_ids"]:
        return "other tokens"
    for ours, theirs, margin in zip(row.out, golden["ids"], golden["margins"]):
        if ours != theirs and margin <= task.file["tolerance"]["margin"]:
            return ""  # almost as likely: what follows can't be compared
    same = row.answer == golden["output"] and row.reason == golden["finish_reason"]
    return "" if same else f"{row.answer!r} instead of {golden['output']!r}"
