from pathlib import Path

import pytest

import nlpsuite

LONG = "The cat sat on the mat. It was red. " * 20


@pytest.mark.parametrize("task", ["complete", "chat", "translate"])
@pytest.mark.parametrize("text", ["The cat", LONG])
def test_pieces_join_to_the_text(tiny_bundle: Path, task: str, text: str) -> None:
    pipeline = nlpsuite.load(task, model=str(tiny_bundle), max_tokens=20, temperature=0.0)
    if task == "chat" and text is LONG:
        pytest.skip("chat refuses long texts")
    pieces: list[str] = []
    assert pipeline.run(nlpsuite.Record(text), on_text=pieces.append).output.text == "".join(pieces)


@pytest.mark.parametrize("task", ["complete", "sentiment"])
def test_map_equals_single_calls(tiny_bundle: Path, task: str) -> None:
    options = {} if task == "sentiment" else {"max_tokens": 8}
    pipeline = nlpsuite.load(task, model=str(tiny_bundle), **options)
    texts = ["one", "two three four", LONG]
    for together, alone in zip(pipeline.map(texts), [pipeline(text) for text in texts], strict=True):
        assert together.text == alone.text and together.label == alone.label
        if alone.probabilities:
            assert together.probabilities == pytest.approx(alone.probabilities, abs=1e-4)
