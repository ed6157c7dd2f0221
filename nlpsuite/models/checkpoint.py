"""Opening a model's weights, configuration and tokenizer, whatever the file format."""

from __future__ import annotations

from pathlib import Path

from nlpsuite.errors import ModelNotFoundError, ModelUnavailableError, UnsupportedModelError
from nlpsuite.models.checkpoint_base import Checkpoint, RawTensor
from nlpsuite.models.checkpoint_gguf import GGUFCheckpoint
from nlpsuite.models.checkpoint_hf import SafetensorsCheckpoint
from nlpsuite.models.spec import model_directory

__all__ = ["Checkpoint", "RawTensor", "open_checkpoint"]


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a ``.gguf`` file, a Hugging Face directory with safetensors weights, or a training run.

    Reads headers only; every tensor that the configuration demands is checked for its shape.

    Raises:
        ModelNotFoundError: there is nothing at ``path``.
        ModelUnavailableError: it can't be read, or is a run without a model.
        UnsupportedModelError: another format, architecture or storage type.
        BundleCorruptError: damaged, incomplete or inconsistent.
    """
    try:
        if path.is_dir():
            directory = model_directory(path)
            checkpoint = SafetensorsCheckpoint(directory)
            if directory != path:
                checkpoint.name = path.resolve().name  # the run's
            return checkpoint
        if not path.exists():
            raise ModelNotFoundError(f"No model at {path}.", hint="Name a .gguf file or a model directory.")
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelUnavailableError(
            f"Can't read {path}: {error.strerror or error}.", hint="Check the permissions."
        ) from error
    if magic == b"GGUF" or path.suffix.lower() == ".gguf":
        return GGUFCheckpoint(path)
    raise UnsupportedModelError(f"{path} is not a supported model file.", hint=_file_hint(path))


def _file_hint(path: Path) -> str:
    if path.suffix.lower() == ".safetensors":
        return "Name the directory instead: config.json and tokenizer.json are needed too."
    if path.suffix.lower() in (".bin", ".pt", ".pth", ".pkl", ".ckpt"):
        return "Pickled weights can run code and are never opened: convert them to safetensors."
    return "Name a .gguf file or a directory with config.json, tokenizer.json and model.safetensors."
