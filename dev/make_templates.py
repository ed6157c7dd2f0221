"""Make the weight-free graph templates of the portable exports that need no torch.

Run from the root of a checkout, with the extra ``train`` installed:

    python dev/make_templates.py

A test compares a fresh export with the committed file.
"""

from pathlib import Path

from nlpsuite.export.graph import export_template
from nlpsuite.export.template import SMOLLM2_135M_CONFIG

TEMPLATES = Path(__file__).parents[1] / "nlpsuite" / "export" / "templates"

if __name__ == "__main__":
    TEMPLATES.mkdir(exist_ok=True)
    for dtype in ("fp32", "fp16"):
        model = export_template(SMOLLM2_135M_CONFIG, "portable", dtype)
        path = TEMPLATES / f"smollm2-135m.portable.{dtype}.onnx"
        path.write_bytes(model.SerializeToString(deterministic=True))
