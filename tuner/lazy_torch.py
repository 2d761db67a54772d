"""torch, imported when something of it is first used.

A file that declares what a study file may say declares there what tensors undergo, too. Commands
that only read, such as ``best``, need the declarations alone, and torch takes longer to import than
all else together. So such a file takes ``torch``, ``nn``, ``functional`` and ``Tensor`` from here.
Until one of them is used they are stand-ins; then torch is imported and takes their places, also in
the modules that have them already. Without torch work: annotations, and the layers of BASES as
bases. What else stands outside of functions, such as a table of modules, must not use them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

BASES = ("Module", "Conv2d")
"""Layers that may be the base of a class of ours."""

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
else:

    def _load() -> dict[str, Any]:
        """Imports torch and puts it in the place of the stand-ins; what is there now, by name."""
        import torch
        from torch import Tensor, nn
        from torch.nn import functional

        for name, base in _BASES.items():
            if base.__bases__ == (_Base,):
                base.__bases__ = (getattr(nn, name),)
        there = {"torch": torch, "nn": nn, "functional": functional, "Tensor": Tensor}
        for module in [m for name, m in sys.modules.copy().items() if name.startswith("tuner.")]:
            for name, stand_in in _STAND_INS.items():
                if vars(module).get(name) is stand_in:
                    setattr(module, name, there[name])
        return there

    class _Later:
        """A module in whose place torch comes."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            if attribute.startswith("__"):  # whoever inspects modules must not import torch
                raise AttributeError(attribute)
            return getattr(_load()[self._name], attribute)

    class _Base:
        """Python changes the bases of a class only if its first one is not ``object``."""

    def _base(name: str) -> type:
        """A base of classes that are torch's layers before the first of them has an instance."""

        def new(cls: type, *_: Any, **__: Any) -> Any:
            _load()
            return object.__new__(cls)

        return type(name, (_Base,), {"__new__": new})

    class _OfTensor(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, _load()["Tensor"])

    class Tensor(metaclass=_OfTensor):
        """The class of tensors, for annotations and ``isinstance``."""

    torch, nn, functional = _Later("torch"), _Later("nn"), _Later("functional")
    _BASES = {name: _base(name) for name in BASES}
    vars(nn).update(_BASES)
    _STAND_INS = {"torch": torch, "nn": nn, "functional": functional, "Tensor": Tensor}

__all__ = ["Tensor", "functional", "nn", "torch"]
