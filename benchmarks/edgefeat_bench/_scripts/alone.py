"""Run a program as if only what it needs were installed: `alone.py HIDDEN (FILE | -m MODULE) ARGUMENTS...`.

HIDDEN are the packages that it cannot import, joined by commas. Keras imports matplotlib, pandas and scikit-learn where
they are installed, as they are beside the benchmarks: a third of the time of its import, a fifth of its memory.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

hidden = frozenset(sys.argv[1].split(","))


class Finder(PathFinder):
    """Finds what is installed, but for the hidden packages."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's spec, or None if it is hidden or not installed."""
        return None if fullname in hidden else super().find_spec(fullname, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
del sys.argv[:2]
if sys.argv[0] == "-m":
    import runpy

    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    # Here, in `__main__`: what a script gives to its own processes is looked for there.
    __file__ = sys.argv[0]
    with open(__file__, encoding="utf-8") as script:
        program = compile(script.read(), __file__, "exec")
    exec(program)
