"""The onnx package, as far as it is asked for: most of its import is tools that no command needs.

`import onnx` loads serializers, a composer, a version converter and the package's own metadata: 30 ms, and what is
needed of it, messages and the operators' schemas, 3 ms.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from types import ModuleType
from typing import Any

_MESSAGES = ("onnx.onnx_ml_pb2", "onnx.onnx_data_pb2")
_loading = threading.RLock()


class _OnDemand(ModuleType):
    """The package before its own code has run: it finds messages and modules, and runs that code for all else."""

    _runs = False

    def __getattr__(self, name: str) -> Any:
        with _loading:
            if type(self) is _OnDemand:  # else another thread was here, and all is there
                if self._runs:
                    raise AttributeError(f"module 'onnx' has no attribute {name!r}")
                if name[:1].isupper():
                    for each in map(importlib.import_module, _MESSAGES):
                        if hasattr(each, name):
                            setattr(self, name, getattr(each, name))
                            return getattr(self, name)
                elif not name.startswith("__") and importlib.util.find_spec(f"onnx.{name}"):
                    return importlib.import_module(f"onnx.{name}")
                self._run()
        return getattr(self, name)

    def _run(self) -> None:
        """Run the package's own code, and be a plain module from then on."""
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self._runs = True
        try:
            self.__spec__.loader.exec_module(self)
        finally:
            del self._runs
        self.__class__ = ModuleType  # type: ignore[assignment]


def load_onnx_on_demand() -> None:
    """From now on `import onnx` takes a moment, and what is used of the package is loaded when it is first used.

    This changes an import for the whole process, so it is for those whose own the process is: the command line and its
    children. Where somebody has imported onnx already, nothing happens.
    """
    spec = None if "onnx" in sys.modules else importlib.util.find_spec("onnx")
    if spec is not None and spec.loader is not None:
        package = importlib.util.module_from_spec(spec)
        package.__class__ = _OnDemand
        sys.modules["onnx"] = package
