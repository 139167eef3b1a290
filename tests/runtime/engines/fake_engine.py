"""A package in the place of an engine that misbehaves: a child process finds it before any installed one."""

from __future__ import annotations

from pathlib import Path

from edgefeat._engines.engine import Engine

__all__ = ["DIED", "ILLEGAL", "Fake"]

INTERPRETER = """
import os, signal, time
import numpy

class Interpreter:
    def __init__(self, model_content, num_threads):
        {constructed}

    def allocate_tensors(self): pass
    def get_input_details(self): return [dict(dtype=numpy.uint8, index=0)]
    def get_output_details(self): return [dict(name="last", index=1)]
    def set_tensor(self, index, value): pass
    def get_tensor(self, index): return numpy.zeros((1, 16), numpy.float32)

    def invoke(self):
        {invoked}
"""
ONNXRUNTIME = """
import os, signal

class SessionOptions: pass

def InferenceSession(*arguments, **options):
    {constructed}
"""
ILLEGAL = "os.kill(os.getpid(), signal.SIGILL)"
DIED = "it died of an illegal instruction: it was built for another processor"


class Fake:
    """A package in the place of LiteRT or ONNX Runtime, which notes each process that imports it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, engine: Engine, *, constructed: str = "pass", invoked: str = "pass") -> None:
        package = self.folder / "site" / engine.module
        package.mkdir(parents=True, exist_ok=True)
        note = f"import os\nopen({str(self.folder / 'imported')!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        if engine.format == "tflite":
            (package / "__init__.py").write_text(note)
            (package / "interpreter.py").write_text(INTERPRETER.format(constructed=constructed, invoked=invoked))
        else:
            (package / "__init__.py").write_text(note + ONNXRUNTIME.format(constructed=constructed))

    def imports(self) -> int:
        """How many processes have imported it."""
        file = self.folder / "imported"
        return len(set(file.read_text().split())) if file.exists() else 0
