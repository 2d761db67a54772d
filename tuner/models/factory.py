"""Families of networks that users write: `family = "package.module:factory"`.

The factory is called as ``factory(shape, outputs, **leaves)`` and returns any module that maps
``[B, *shape]`` to ``[B, outputs]``. With a parameter ``inside`` it gets the layers that techniques
put into blocks and residual branches (``tuner.models.Inside``); with ``words`` it takes text, and
gets the vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Any

from tuner.errors import StudyFileError
from tuner.imports import function, is_reference
from tuner.lazy_torch import Tensor, nn, torch
from tuner.models.base import Family, Inside
from tuner.space import Config, shown
from tuner.techniques import Shape

GIVEN = ("shape", "outputs", "inside", "words")
"""Arguments that tuner passes to a factory; no parameter may have these names."""
KINDS: tuple[type, ...] = (bool, int, float, str)


def is_factory(name: object) -> bool:
    """Whether a family is a reference to a user's factory."""
    return is_reference(name)


@dataclass(frozen=True)
class Factory:
    """A function that makes networks, and the arguments that it takes.

    Args:
        parameters: the factory's own, by name.
        open: it takes any other name too (``**leaves``).
        inside, words: it takes the argument of this name.
    """

    name: str
    call: Callable[..., Any]
    parameters: Mapping[str, Parameter]
    open: bool
    inside: bool
    words: bool

    @property
    def family(self) -> Family:
        """The family of networks that the factory makes."""
        doc = (inspect.getdoc(self.call) or "a user's own family").partition("\n")[0]
        return Family(self.name, self.build, (), doc, "", text=self.words, own=True)

    def kind(self, name: str) -> type | None:
        """The type of a parameter: of its default, else its annotation; None if unknown."""
        parameter = self.parameters.get(name)
        if parameter is None:
            return None
        default = next((k for k in KINDS if type(parameter.default) is k), None)
        named = {k.__name__: k for k in KINDS}
        annotation = parameter.annotation
        return default or (annotation if annotation in KINDS else named.get(str(annotation)))

    def values(self, config: Config, others: Collection[str]) -> dict[str, Any]:
        """The factory's arguments in a configuration.

        Args:
            others: names of leaves that are not a network's.
        """
        own = f"{self.name}."
        arguments = {k: v for k, v in config.items() if "." not in k and k not in others}
        arguments |= {k.removeprefix(own): v for k, v in config.items() if k.startswith(own)}
        return {k: v for k, v in arguments.items() if self.open or k in self.parameters}

    def build(
        self,
        shape: Shape,
        outputs: int,
        leaves: Mapping[str, Any],
        inside: Inside,
        words: Any = None,
    ) -> nn.Module:
        """The network; StudyFileError where the factory raises or gives something else."""
        extras = ({"inside": inside} if self.inside else {}) | (
            {"words": words} if self.words else {}
        )
        values = {k: float(v) if self.kind(k) is float else v for k, v in leaves.items()}
        try:
            made = self.call(shape, outputs, **values, **extras)
        except Exception as error:
            what = f"the factory raised {type(error).__name__}: {error}"
            raise StudyFileError(what, where=self.name, hint=f"it was given {values}") from error
        network = self._checked(made)
        like = next(network.parameters())
        kind = torch.long if self.words else like.dtype
        rows = torch.zeros(2, *shape, dtype=kind, device=like.device)
        self.try_out(network.eval(), rows, outputs)  # gives a lazy layer its shape, too
        return network.train()

    def try_out(self, network: nn.Module, rows: Tensor, outputs: int) -> None:
        """Raises StudyFileError where rows ``[B, *shape]`` do not become ``[B, outputs]``."""
        try:
            with torch.no_grad():
                result = network(rows)
        except Exception as error:
            what = f"the network raised {type(error).__name__}: {error}"
            hint = f"it was given rows of shape {list(rows.shape)}"
            raise StudyFileError(what, where=self.name, hint=hint) from error
        wanted = [len(rows), outputs]
        if not isinstance(result, Tensor):
            what = f"the network returned something of type {type(result).__name__}"
            hint = f"return one tensor of shape {wanted}"
            raise StudyFileError(what, where=self.name, hint=hint)
        if list(result.shape) != wanted:
            raise StudyFileError(
                f"the network returns outputs of shape {list(result.shape)}, "
                f"but the data needs {wanted} (a batch of {len(rows)} rows)",
                where=self.name,
                hint=f"return {outputs} outputs: the factory receives this number",
            )

    def _checked(self, made: object) -> nn.Module:
        if not isinstance(made, torch.nn.Module):  # the stand-in of nn has a base in its place
            returned = "nothing" if made is None else f"{shown(made)} of type {type(made).__name__}"
            hint = "return a torch.nn.Module"
            raise StudyFileError(f"the factory returned {returned}", where=self.name, hint=hint)
        if not any(p.requires_grad for p in made.parameters()):
            hint = "assign layers to attributes, or put them into an nn.ModuleList"
            raise StudyFileError(
                "the network has no parameters to train", where=self.name, hint=hint
            )
        return made


def factory(name: str, folder: Path = Path()) -> Factory:
    """The factory of a reference, whose module is imported if that is allowed here.

    Raises:
        StudyFileError: there is none, it is not allowed, or it cannot be called as it has to be.
    """
    call = function(name, "model.family", StudyFileError, folder=folder)
    try:
        parameters = dict(inspect.signature(call).parameters)
        inspect.signature(call).bind_partial((1,), 1)
    except (TypeError, ValueError) as error:
        raise StudyFileError(
            f"cannot be called with a shape and a number of outputs: {error}",
            where=name,
            hint="write def net(shape, outputs, width=64): …",
        ) from None
    positional = list(parameters.values())[:2]
    named = {
        key: each
        for key, each in parameters.items()
        if each not in positional
        and each.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    }
    return Factory(
        name,
        call,
        {key: each for key, each in named.items() if key not in GIVEN},
        any(each.kind == Parameter.VAR_KEYWORD for each in parameters.values()),
        "inside" in named,
        "words" in named,
    )
