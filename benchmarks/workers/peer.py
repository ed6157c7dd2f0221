"""A program that runs language models, behind JSON lines: what benchmarks/peers.py starts once per peer.

    python benchmarks/workers/peer.py '{"kind": "transformers", "model": "hf", "threads": 2, "precision": "bf16"}'

It loads the model, answers {"ready": …}, and then answers each line of standard input with a line. All peers
get token ids, never text:

    {"do": "prefill", "ids": […]}                        seconds to the logits after the last token
    {"do": "decode", "rows": [[…], …], "new": n}         seconds for n further tokens of each row, greedily
    {"do": "perplexity", "ids": […]}                     log-probability of each token after the first
    {"do": "score", "contexts": […], "choices": [[…]…]}  seconds, and log-probability of each choice of each row
    {"do": "memory"}                                     peak of the process in bytes

Only numpy and the peer's own package are needed. Drawing the likeliest token is part of every peer's time, and
reading the rows is not part of decode's.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Row = Sequence[int]
Answer = dict[str, Any]


def log_softmax(logits: Any) -> Any:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def picked(logits: Any, targets: Row) -> list[float]:
    """Log-probabilities of one token per row of logits."""
    found: list[float] = log_softmax(logits)[np.arange(len(targets)), list(targets)].tolist()
    return found


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


class NlpSuite:
    """Our runtime, as the scheduler and the scorer use it."""

    def __init__(self, model: str, threads: int, **_: Any) -> None:
        from nlpsuite.runtime.language_model import LanguageModel

        self._model = LanguageModel.load(model, device="cpu", threads=threads, max_slots=64)
        self._session = self._model._session

    def prefill(self, ids: Row) -> Answer:
        from nlpsuite.runtime.prefill import prefill

        self._session.release()
        self._session.reserve(1, len(ids) + 1)
        seconds, logits = timed(lambda: prefill(self._session, [ids], 0))
        return {"seconds": seconds, "next": int(logits[0].argmax())}

    def decode(self, rows: Sequence[Row], new: int) -> Answer:
        from nlpsuite.runtime.prefill import prefill

        self._session.release()
        at = np.array([len(row) for row in rows])
        self._session.reserve(len(rows), int(at.max()) + new)
        tokens = prefill(self._session, rows, 0).argmax(-1)[:, None]
        zeros = np.zeros_like(tokens)
        out = [tokens]

        def generate() -> None:
            for step in range(new):
                logits = self._session.run(out[-1], at + step, zeros)
                out.append(logits[:, 0].argmax(-1)[:, None])

        seconds, _ = timed(generate)
        return {"seconds": seconds, "tokens": np.concatenate(out, 1)[0].tolist()}

    def perplexity(self, ids: Row) -> Answer:
        from nlpsuite.runtime.scoring import token_logprobs

        return {"logprobs": token_logprobs(self._session, ids, self._model.context_length).tolist()}

    def score(self, contexts: Sequence[Row], choices: Sequence[Sequence[Row]]) -> Answer:
        from nlpsuite.runtime.scoring import continuation_logprobs

        order = sorted(range(len(contexts)), key=lambda i: len(contexts[i]))

        def run() -> dict[int, list[float]]:
            found: dict[int, list[float]] = {}
            for begin in range(0, len(order), 16):
                part = order[begin : begin + 16]
                rows, options = [contexts[i] for i in part], [choices[i] for i in part]
                found.update(zip(part, continuation_logprobs(self._session, rows, options)))
            return found

        seconds, found = timed(run)
        return {"seconds": seconds, "scores": [found[i] for i in range(len(contexts))]}


class LlamaCpp:
    """llama.cpp by its C interface: one context per setting, a cache of its own for each stream."""

    def __init__(self, model: str, threads: int, **_: Any) -> None:
        import llama_cpp

        self._api, self._threads = llama_cpp, threads
        llama_cpp.llama_backend_init()
        self._silent = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self._silent, ctypes.c_void_p(0))
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self._model = llama_cpp.llama_model_load_from_file(model.encode(), parameters)
        assert self._model, f"{model} can't be loaded"
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._context: Any = None
        self._shape: tuple[int, int] | None = None

    def prefill(self, ids: Row) -> Answer:
        self._open(1, len(ids) + 8)
        seconds, logits = timed(lambda: self._run([(0, 0, ids)], "last"))
        return {"seconds": seconds, "next": int(logits[0].argmax())}

    def decode(self, rows: Sequence[Row], new: int) -> Answer:
        self._open(len(rows), max(map(len, rows)) + new + 8)
        tokens = [int(self._run([(slot, 0, row)], "last")[0].argmax()) for slot, row in enumerate(rows)]
        out = [tokens]

        def generate() -> None:
            for step in range(new):
                parts = [(slot, len(rows[slot]) + step, [token]) for slot, token in enumerate(out[-1])]
                out.append(self._run(parts, "last").argmax(-1).tolist())

        seconds, _ = timed(generate)
        return {"seconds": seconds, "tokens": [step[0] for step in out]}

    def perplexity(self, ids: Row) -> Answer:
        self._open(1, len(ids) + 8)
        found: list[float] = []
        for at in range(0, len(ids) - 1, 512):
            part = ids[at : min(at + 512, len(ids) - 1)]
            found += picked(self._run([(0, at, part)], "all"), ids[at + 1 : at + 1 + len(part)])
        return {"logprobs": found}

    def score(self, contexts: Sequence[Row], choices: Sequence[Sequence[Row]]) -> Answer:
        width = 16
        longest = max(len(c) + max(map(len, options)) for c, options in zip(contexts, choices))
        self._open(width, longest + 8)
        order = sorted(range(len(contexts)), key=lambda i: len(contexts[i]))

        def run() -> dict[int, list[float]]:
            found: dict[int, list[float]] = {}
            for begin in range(0, len(order), width):
                part = order[begin : begin + width]
                self._clear()
                logits = self._run([(slot, 0, contexts[i]) for slot, i in enumerate(part)], "last")
                first = log_softmax(logits)
                for slot, i in enumerate(part):
                    found[i] = [float(first[slot, choice[0]]) for choice in choices[i]]
                    for number, choice in enumerate(choices[i]):
                        if len(choice) > 1:
                            at = len(contexts[i])
                            rest = self._run([(slot, at, choice[:-1])], "all")
                            found[i][number] += sum(picked(rest, choice[1:]))
                            self._api.llama_memory_seq_rm(self._memory(), slot, at, -1)
            return found

        seconds, found = timed(run)
        return {"seconds": seconds, "scores": [found[i] for i in range(len(contexts))]}

    def _open(self, streams: int, length: int) -> None:
        """An empty context with room for that many streams."""
        length = -(-length // 256) * 256
        if self._shape == (streams, length):
            return self._clear()
        if self._context:
            self._api.llama_batch_free(self._batch)
            self._api.llama_free(self._context)
        parameters = self._api.llama_context_default_params()
        parameters.n_ctx = streams * length
        parameters.n_seq_max = streams
        parameters.n_batch = 2048
        parameters.n_ubatch = 512
        parameters.n_threads = parameters.n_threads_batch = self._threads
        self._context = self._api.llama_init_from_model(self._model, parameters)
        assert self._context, "no context"
        self._batch = self._api.llama_batch_init(2048, 0, 1)
        self._shape = (streams, length)

    def _memory(self) -> Any:
        return self._api.llama_get_memory(self._context)

    def _clear(self) -> None:
        self._api.llama_memory_clear(self._memory(), False)

    def _run(self, parts: Sequence[tuple[int, int, Row]], read: str) -> Any:
        """Logits after the last token of each part, or after all tokens; (rows, vocabulary)."""
        batch, count, wanted = self._batch, 0, []
        for slot, start, ids in parts:
            for offset, token in enumerate(ids):
                batch.token[count] = token
                batch.pos[count] = start + offset
                batch.n_seq_id[count] = 1
                batch.seq_id[count][0] = slot
                batch.logits[count] = read == "all" or offset == len(ids) - 1
                if batch.logits[count]:
                    wanted.append(count)
                count += 1
        batch.n_tokens = count
        code = self._api.llama_decode(self._context, batch)
        assert code == 0, f"llama_decode returned {code}"
        rows = [self._api.llama_get_logits_ith(self._context, i) for i in wanted]
        return np.stack([np.ctypeslib.as_array(row, (self._vocabulary,)) for row in rows])


class CTranslate2:
    """CTranslate2's Generator."""

    def __init__(self, model: str, threads: int, precision: str, **_: Any) -> None:
        import ctranslate2

        self._generator = ctranslate2.Generator(
            model, device="cpu", compute_type=precision, intra_threads=threads, inter_threads=1
        )
        self._tokens = json.loads(Path(model, "vocabulary.json").read_text(encoding="utf-8"))
        self._ids = {token: i for i, token in enumerate(self._tokens)}

    def prefill(self, ids: Row) -> Answer:
        seconds, results = timed(lambda: self._generate([ids], 1))
        return {"seconds": seconds, "next": results[0].sequences_ids[0][0]}

    def decode(self, rows: Sequence[Row], new: int) -> Answer:
        firsts: list[float] = []

        def note(step: Any) -> bool:
            firsts.append(time.perf_counter())
            return False

        results = self._generate(rows, new + 1, note)
        end = time.perf_counter()
        return {"seconds": end - firsts[0], "tokens": results[0].sequences_ids[0]}

    def perplexity(self, ids: Row) -> Answer:
        (result,) = self._generator.score_batch([self._text(ids)])
        return {"logprobs": list(result.log_probs)}

    def score(self, contexts: Sequence[Row], choices: Sequence[Sequence[Row]]) -> Answer:
        pairs = [(i, choice) for i, options in enumerate(choices) for choice in options]
        rows = [self._text([*contexts[i], *choice]) for i, choice in pairs]
        seconds, results = timed(lambda: self._generator.score_batch(rows, max_batch_size=16))
        scores: list[list[float]] = [[] for _ in contexts]
        for (i, choice), result in zip(pairs, results):
            scores[i].append(sum(result.log_probs[-len(choice) :]))
        return {"seconds": seconds, "scores": scores}

    def _generate(self, rows: Sequence[Row], new: int, callback: Any = None) -> Any:
        return self._generator.generate_batch(
            [self._text(row) for row in rows],
            max_length=new,
            min_length=new,
            sampling_topk=1,
            beam_size=1,
            include_prompt_in_result=False,
            callback=callback,
        )

    def _text(self, ids: Row) -> list[str]:
        return [self._tokens[i] for i in ids]


class Transformers:
    """transformers, in the loop that its generate runs, without the rest of generate."""

    def __init__(self, model: str, threads: int, precision: str, **_: Any) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        self._torch = torch
        self._model = AutoModelForCausalLM.from_pretrained(model, dtype=dtype).eval()

    def prefill(self, ids: Row) -> Answer:
        seconds, out = timed(lambda: self._forward([ids]))
        return {"seconds": seconds, "next": int(out.logits[0, -1].argmax())}

    def decode(self, rows: Sequence[Row], new: int) -> Answer:
        out = self._forward(rows)
        cache, tokens = out.past_key_values, [out.logits[:, -1].argmax(-1, keepdim=True)]

        def generate() -> None:
            for _ in range(new):
                out = self._model(tokens[-1], past_key_values=cache, use_cache=True)
                tokens.append(out.logits[:, -1].argmax(-1, keepdim=True))

        seconds, _ = timed(generate)
        return {"seconds": seconds, "tokens": [int(token[0, 0]) for token in tokens]}

    def perplexity(self, ids: Row) -> Answer:
        logits = self._model(self._torch.tensor([list(ids)])).logits[0, :-1]
        return {"logprobs": picked(logits.float().numpy(), ids[1:])}

    def _forward(self, rows: Sequence[Row]) -> Any:
        tensor = self._torch.tensor([list(row) for row in rows])
        return self._model(tensor, use_cache=True, logits_to_keep=1)


class GenAI:
    """onnxruntime-genai on our portable bundle; its threads are in genai_config.json."""

    def __init__(self, model: str, **_: Any) -> None:
        import onnxruntime_genai

        self._og = onnxruntime_genai
        self._model = onnxruntime_genai.Model(model)

    def prefill(self, ids: Row) -> Answer:
        generator = self._generator(1, len(ids) + 8)

        def read() -> int:
            generator.append_tokens(np.array([list(ids)], np.int32))
            generator.generate_next_token()
            return int(generator.get_sequence(0)[-1])

        seconds, token = timed(read)
        return {"seconds": seconds, "next": token}

    def decode(self, rows: Sequence[Row], new: int) -> Answer:
        length = len(rows[0])
        # An end token may not end a stream: until the minimum length it is not drawn.
        generator = self._generator(len(rows), length + new + 8, length + new + 4)
        generator.append_tokens(np.array([list(row) for row in rows], np.int32))
        generator.generate_next_token()

        def generate() -> None:
            for _ in range(new):
                generator.generate_next_token()

        seconds, _ = timed(generate)
        return {"seconds": seconds, "tokens": [int(token) for token in generator.get_sequence(0)[length:]]}

    def perplexity(self, ids: Row) -> Answer:
        generator = self._generator(1, len(ids) + 8)
        generator.append_tokens(np.array([list(ids)], np.int32))
        logits = np.asarray(generator.get_output("logits"), np.float32)[0, :-1]
        assert len(logits) == len(ids) - 1, logits.shape
        return {"logprobs": picked(logits, ids[1:])}

    def _generator(self, rows: int, longest: int, least: int = 0) -> Any:
        parameters = self._og.GeneratorParams(self._model)
        parameters.set_search_options(batch_size=rows, max_length=longest, min_length=least, do_sample=False)
        return self._og.Generator(self._model, parameters)


class Harness:
    """lm-evaluation-harness: scoring only, in batches of 16."""

    def __init__(self, model: str, threads: int, precision: str, **_: Any) -> None:
        import torch
        from lm_eval.models.huggingface import HFLM

        torch.set_num_threads(threads)
        dtype = {"fp32": "float32", "bf16": "bfloat16"}[precision]
        self._model = HFLM(pretrained=model, dtype=dtype, batch_size=16, device="cpu")

    def score(self, contexts: Sequence[Row], choices: Sequence[Sequence[Row]]) -> Answer:
        pairs = [(i, choice) for i, options in enumerate(choices) for choice in options]
        # The texts are only its keys for a cache.
        requests = [((str(i), str(choice)), list(contexts[i]), list(choice)) for i, choice in pairs]
        seconds, found = timed(lambda: self._model._loglikelihood_tokens(requests, disable_tqdm=True))
        scores: list[list[float]] = [[] for _ in contexts]
        for (i, _), (score, _) in zip(pairs, found):
            scores[i].append(float(score))
        return {"seconds": seconds, "scores": scores}


KINDS = {
    "nlpsuite": NlpSuite,
    "llama-cpp": LlamaCpp,
    "ctranslate2": CTranslate2,
    "transformers": Transformers,
    "genai": GenAI,
    "lm-eval": Harness,
}


def peak_bytes() -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)


def main() -> None:
    settings = json.loads(sys.argv[1])
    # What the libraries print must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(value: Answer) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    seconds, peer = timed(lambda: KINDS[settings["kind"]](**settings))
    answer({"ready": seconds})
    for line in sys.stdin:
        command = json.loads(line)
        name = command.pop("do")
        try:
            answer({"peak": peak_bytes()} if name == "memory" else getattr(peer, name)(**command))
        except Exception as error:  # the driver leaves the cell empty
            answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
