"""Run a portable bundle in onnxruntime-genai, without nlpsuite. Prints a JSON object a question.

pip install onnxruntime-genai numpy
nlpsuite export default --layout portable --precision fp32 -o my-bundle
python examples/portable_genai.py my-bundle "Why is the sky blue?" "Name three colours."
"""

import json
import sys
from pathlib import Path

import onnxruntime_genai as og

bundle, questions = Path(sys.argv[1]), sys.argv[2:]
MAX_TOKENS = 40

model = og.Model(str(bundle))
tokenizer = og.Tokenizer(model)
ends = json.loads((bundle / "generation_config.json").read_text(encoding="utf-8"))["eos_token_id"]
prompts = [
    tokenizer.apply_chat_template(
        json.dumps([{"role": "user", "content": question}]), add_generation_prompt=True
    )
    for question in questions
]
longest = max(len(tokenizer.encode(prompt)) for prompt in prompts)

parameters = og.GeneratorParams(model)
parameters.set_search_options(batch_size=len(prompts), max_length=longest + MAX_TOKENS)
generator = og.Generator(model, parameters)
generator.append_tokens(tokenizer.encode_batch(prompts))  # pads on the right
while not generator.is_done():
    generator.generate_next_token()

for i in range(len(prompts)):
    ids = generator.get_sequence(i).tolist()[longest:]
    ids = ids[: next((at for at, token in enumerate(ids) if token in ends), None)]
    print(json.dumps({"text": tokenizer.decode(ids), "ids": ids}))
