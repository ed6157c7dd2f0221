"""Two thousand mixed requests from several threads: every one is answered, and memory stays flat."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prompt import Completion, Message, Prompt, Sampling

pytestmark = pytest.mark.slow

WORDS = "the of and cat sea red storm lamp".split()


def resident() -> int:
    """Memory of this process, in bytes."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc")
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


def request(random_: random.Random) -> Prompt:
    """Anything a user may ask."""
    text = " ".join(random_.choices(WORDS, k=random_.choice((1, 5, 20, 60))))
    kind = random_.randrange(4)
    if kind == 0:
        return Prompt(text=text, choices=(" good", " bad"))
    sampling = Sampling(temperature=random_.choice((0.0, 0.8)), seed=random_.randrange(9), copy_bias=kind)
    if kind == 1:
        return Prompt(messages=(Message("user", text),), max_tokens=12, sampling=sampling)
    return Prompt(text=text, max_tokens=random_.randrange(1, 16), stop=("sea",), sampling=sampling)


def test_soak(tiny_bundle: Path) -> None:
    model = LanguageModel.load(tiny_bundle, device="cpu", threads=1, max_slots=8)
    answered, cancelled = [0], [0]
    errors: list[BaseException] = []

    def work(seed: int, count: int) -> None:
        random_ = random.Random(seed)
        try:
            while count > 0:
                prompts = [request(random_) for _ in range(min(count, random_.randrange(1, 12)))]
                count -= len(prompts)
                events = model.stream(prompts)
                left = len(prompts)
                for _, event in events:
                    left -= isinstance(event, Completion)
                    if random_.random() < 0.01:
                        break
                events.close()
                answered[0] += len(prompts) - left
                cancelled[0] += left
        except BaseException as error:
            errors.append(error)

    def soak(requests: int) -> int:
        """Run requests in four threads; returns the process's memory in bytes."""
        threads = [threading.Thread(target=work, args=(seed, requests // 4)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=600)
            assert not thread.is_alive()
        return resident() - model._scheduler._prefixes.size  # which has a limit of its own

    before = soak(400)  # fills the caches
    after = soak(2_000)
    assert not errors
    assert answered[0] + cancelled[0] == 2_400 and answered[0] > 1_500
    assert model._scheduler._rows == [] and not model._scheduler._waiting
    assert after - before < 12e6
