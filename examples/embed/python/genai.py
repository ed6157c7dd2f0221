"""The same as task.py with onnxruntime-genai in place of onnxruntime and tokenizers.

pip install onnxruntime-genai numpy
nlpsuite export --task sentiment -o exported/sentiment
python genai.py exported/sentiment "I love it." "It broke after a week."
python genai.py exported/sentiment --check
"""

import json
import re
from pathlib import Path

import numpy as np
import onnxruntime_genai as og
from task import Task, main


class GenaiTask(Task):
    """A task whose graph and tokenizer onnxruntime-genai runs, one row after the other."""

    def open(self, bundle):
        config = og.Config(str(bundle))
        config.overlay(json.dumps({"model": {"decoder": {"filename": self.file["model"]["graph"]}}}))
        self.model = og.Model(config)
        self.tokenizer = og.Tokenizer(self.model)
        tokenizer = json.loads(Path(bundle, "tokenizer.json").read_text(encoding="utf-8"))
        controls = {t["id"]: t["content"] for t in tokenizer["added_tokens"] if t["special"]}
        # The library always recognizes control tokens; cut behind what they begin with, they are text.
        cuts = [f"(?<={re.escape(c[:2])})(?={re.escape(c[2:])})" for c in controls.values()]
        # GPT-2's split leaves the last of several spaces or line breaks to what follows; the library doesn't.
        if '"use_regex": true' in json.dumps(tokenizer["pre_tokenizer"]):
            cuts.append(r"(?<=\s)(?=\s[^\s\d])")
        self.cuts = "|".join(cuts) or "(?!)"
        self.controls = set(controls)
        self.vocabulary = max(tokenizer["model"]["vocab"].values()) + 1

    def ids(self, text):
        pieces = filter(None, re.split(self.cuts, text))
        return [int(i) for piece in pieces for i in self.tokenizer.encode(piece)]

    def decode(self, ids):
        visible = [i for i in ids if i not in self.controls]
        return self.tokenizer.decode(np.array(visible, np.int32)) if visible else ""

    def read(self, rows, mask=None, past=None):
        if past is None:
            parameters = og.GeneratorParams(self.model)
            parameters.set_search_options(max_length=self.file["model"]["context_length"])
            past = [og.Generator(self.model, parameters) for _ in rows]
        logits = []
        for generator, row in zip(past, rows):
            generator.append_tokens(np.array(row, np.int32))
            logits.append(np.array(generator.get_output("logits"))[0])
        longest = max(map(len, logits))
        padded = [np.pad(each, ((longest - len(each), 0), (0, 0))) for each in logits]
        return np.stack(padded).astype(np.float32), None, past


if __name__ == "__main__":
    main(GenaiTask)
