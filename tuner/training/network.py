"""Makes a plan and a network of a configuration, and the flat vector of its parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tuner.imports import is_reference
from tuner.models import FAMILIES, Family, Inside, WordTable
from tuner.models.categories import CATEGORIES, FEWEST, Categories
from tuner.models.factory import factory, is_factory
from tuner.models.inputs import INPUT_SCALE, NUMBERS, Numbers, Scale, embedding_of
from tuner.optimizers import OPTIMIZERS, Optimizer, own_optimizer
from tuner.schedules import SCHEDULES, Schedule, own_schedule
from tuner.space import Config, Leaf
from tuner.study.catalogue import DETERMINISTIC, OTHERS
from tuner.techniques import TECHNIQUES, Shape, Technique
from tuner.techniques.batches import OwnRows

# A network's parameters as one flat vector, of which the parameters are views.


@dataclass(frozen=True)
class Layout:
    """Where each parameter that is trained stands in the vector: name, offset and shape.

    P is the length. A parameter of two names stands there once.
    """

    entries: tuple[tuple[str, int, torch.Size], ...]
    length: int

    def views(self, vector: Tensor) -> dict[str, Tensor]:
        """Views into a vector ``[P]`` by parameter name."""
        return {
            name: vector[at : at + math.prod(shape)].view(shape) for name, at, shape in self.entries
        }

    def mask(self, names: Collection[str], like: Tensor) -> Tensor:
        """``[P]``: 1 at the parameters of these names, 0 at others."""
        mask = torch.zeros(self.length, dtype=like.dtype, device=like.device)
        for name, view in self.views(mask).items():
            view.fill_(float(name in names))
        return mask


def trained(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters that take a gradient, by name."""
    return [(name, p) for name, p in module.named_parameters() if p.requires_grad]


def gradient(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    """The gradient of a loss as one vector ``[P]``, 0 at parameters on which it does not depend."""
    parts = torch.autograd.grad(loss, parameters, materialize_grads=True)
    return torch.cat([part.reshape(-1) for part in parts])


def untrained(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network that are not trained: buffers, and parameters without gradient."""
    names = module.state_dict().keys()
    frozen = [(n, p.detach()) for n, p in module.named_parameters() if not p.requires_grad]
    return {n: tensor for n, tensor in [*frozen, *module.named_buffers()] if n in names}


def weights(module: nn.Module) -> set[str]:
    """The names of weights: parameters of two dimensions or more, so no biases and no norms."""
    return {name for name, p in trained(module) if p.dim() > 1}


def biases(module: nn.Module) -> set[str]:
    """The names of biases."""
    return {name for name, _ in trained(module) if "bias" in name.rpartition(".")[2]}


def scales(module: nn.Module) -> set[str]:
    """The names of the trained scales of inputs."""
    return _within(module, Scale)


def first_layer(module: nn.Module) -> set[str]:
    """The names of the parameters of the first layer with weights, after those of inputs."""
    before = _within(module, Numbers | Categories | Scale)
    after = [(name, p) for name, p in trained(module) if name not in before]
    places = [name.rpartition(".")[0] for name, p in after if p.dim() > 1]
    return {name for name, _ in after if name.rpartition(".")[0] in places[:1]}


def _within(module: nn.Module, kind: Any) -> set[str]:
    inner = [(name, each) for name, each in module.named_modules() if isinstance(each, kind)]
    return {f"{name}.{own}" for name, each in inner for own, _ in each.named_parameters()}


KINDS: Mapping[str, Callable[[nn.Module], set[str]]] = {
    "weights": weights,
    "biases": biases,
    "scales": scales,
    "first": first_layer,
}
"""The kinds of parameters that techniques mark."""


def layout(module: nn.Module) -> Layout:
    entries, at = [], 0
    for name, parameter in trained(module):
        entries.append((name, at, parameter.shape))
        at += parameter.numel()
    return Layout(tuple(entries), at)


def flatten(module: nn.Module) -> tuple[Layout, Tensor]:
    """Moves the parameters into one vector ``[P]`` and makes them views of it, in place."""
    plan = layout(module)
    vector = torch.cat([p.detach().reshape(-1) for _, p in trained(module)])
    views = plan.views(vector)
    for name, parameter in trained(module):
        parameter.data = views[name]
    return plan, vector


# From a configuration to what a trainer needs: network, techniques, optimizer, schedule.


@dataclass(frozen=True)
class TrainingPlan:
    """The techniques, family, optimizer and schedule of a configuration, with their values.

    Args:
        techniques: those that are on, or take part nevertheless, in the order of a step.
        values: each active technique's value by its name.
        family, optimizer, schedule: with the values of their own leaves beside them.
        embedding: the largest size of a category's vector; none where categories are one-hot.
        numbers: how a quantity is taken, with the values of the option's leaves.
        input_scale: whether each input has a trained scale.
        warmup: fraction of all steps.
        deterministic: a GPU is asked for the same numbers each time.
    """

    techniques: tuple[Technique, ...]
    values: Mapping[str, Any]
    family: Family
    family_values: Mapping[str, Any]
    embedding: int | None
    numbers: tuple[str, Mapping[str, Any]]
    input_scale: bool
    optimizer: Optimizer
    optimizer_values: Mapping[str, Any]
    schedule: Schedule
    schedule_values: Mapping[str, Any]
    learning_rate: float
    warmup: float
    epochs: int
    batch_size: int
    deterministic: bool


def own_values(leaves: tuple[Leaf, ...], config: Config, owner: str) -> dict[str, Any]:
    """Each leaf's value: nested (``owner.leaf``) before its own name before its default."""
    return {
        leaf.name: config.get(f"{owner}.{leaf.name}", config.get(leaf.name, leaf.default))
        for leaf in leaves
    }


def nested_values(leaves: tuple[Leaf, ...], config: Config, owner: str) -> dict[str, Any]:
    """Each leaf's value where only the nested name counts."""
    return {leaf.name: config.get(f"{owner}.{leaf.name}", leaf.default) for leaf in leaves}


def own_options(config: Config, reference: str) -> dict[str, Any]:
    """The options of a function of the user's, as the study file has them."""
    own = f"{reference}."
    return {k.removeprefix(own): v for k, v in config.items() if k.startswith(own)}


def plan(config: Config, keep: Collection[str] = ()) -> TrainingPlan:
    """The plan of a full configuration, as ``tuner.space.sample`` gives it.

    Args:
        config: the value of every leaf.
        keep: dynamic techniques that take part even where they are off, as trials that are stepped
            together need.
    """
    values = {t.name: _value_of(t, config) for t in TECHNIQUES}
    forced = {t.name for t in TECHNIQUES if t.name in keep and not t.leaf.static}
    active = tuple(t for t in TECHNIQUES if t.name in forced or values[t.name] != t.leaf.off)
    family, family_values = _family(config)
    optimizer, optimizer_values = optimizer_of(config)
    schedule, schedule_values = schedule_of(config)
    rate = f"{optimizer.name}.learning_rate"
    return TrainingPlan(
        techniques=active,
        values={t.name: values[t.name] for t in active},
        family=family,
        family_values=family_values,
        embedding=_chosen(CATEGORIES, config)[1].get("size"),
        numbers=_chosen(NUMBERS, config),
        input_scale=config.get(INPUT_SCALE.name, False),
        optimizer=optimizer,
        optimizer_values=optimizer_values,
        schedule=schedule,
        schedule_values=schedule_values,
        learning_rate=config[rate if rate in config else "learning_rate"],
        warmup=config["warmup"],
        epochs=config["epochs"],
        batch_size=config["batch_size"],
        deterministic=config.get(DETERMINISTIC.name, DETERMINISTIC.default),
    )


def _value_of(technique: Technique, config: Config) -> Any:
    """A technique's value in a configuration; a function of the user's with its options."""
    value: Any = config.get(technique.name, technique.leaf.off)
    return OwnRows(value, own_options(config, value)) if is_reference(value) else value


def _family(config: Config) -> tuple[Family, Mapping[str, Any]]:
    """The family of a configuration, and the values of its leaves."""
    name = config["family"]
    if is_factory(name):
        made = factory(name)
        return made.family, made.values(config, OTHERS)
    return FAMILIES[name], own_values(FAMILIES[name].leaves, config, name)


def optimizer_of(config: Config) -> tuple[Optimizer, Mapping[str, Any]]:
    """The optimizer of a configuration, and the values of its leaves."""
    name = config["optimizer"]
    if is_reference(name):
        values = own_options(config, name)
        values.pop("learning_rate", None)
        return own_optimizer(name), values
    return OPTIMIZERS[name], nested_values(OPTIMIZERS[name].leaves, config, name)


def schedule_of(config: Config) -> tuple[Schedule, Mapping[str, Any]]:
    """The schedule of a configuration, and the values of its leaves."""
    name = config["lr_scheduler"]
    if is_reference(name):
        return own_schedule(name), own_options(config, name)
    return SCHEDULES[name], nested_values(SCHEDULES[name].leaves, config, name)


def _chosen(leaf: Leaf, config: Config) -> tuple[str, dict[str, Any]]:
    """The option of a leaf in a configuration, and the values of the option's own leaves."""
    chosen = config.get(leaf.name, leaf.default)
    return chosen, nested_values((leaf.options or {})[chosen], config, chosen)


def build_network(
    of: TrainingPlan,
    shape: Shape,
    outputs: int,
    seed: int,
    words: WordTable | None = None,
    categories: Sequence[range] = (),
    numbers: Sequence[int] = (),
) -> nn.Module:
    """The network with its techniques' layers, initialized as a function of the seed.

    Args:
        words: of a text.
        categories: where the numbers of each categorical column stand in a row.
        numbers: where the quantities stand.

    Shape:
        ``[B, *shape]`` to ``[B, outputs]``.
    """
    layers = [
        (t.before_activation, partial(_layer, t, of.values[t.name]))
        for t in of.techniques
        if t.layer and not t.branch
    ]
    branches = (partial(_branch_layer, t, of.values[t.name]) for t in of.techniques if t.branch)
    inside = Inside(
        before=tuple(layer for before, layer in layers if before),
        after=tuple(layer for before, layer in layers if not before),
        branches=tuple(branches),
        bias=not any(of.values[t.name] in t.centres for t in of.techniques),
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed devices too
        vocabulary = {"words": words} if of.family.text else {}
        first = _first_layers(of, shape, categories, numbers)
        shape = (first[-1].width,) if first else shape
        rest = of.family.build(shape, outputs, of.family_values, inside, **vocabulary)
        return nn.Sequential(*first, rest) if first else rest


def _first_layers(
    of: TrainingPlan, shape: Shape, categories: Sequence[range], numbers: Sequence[int]
) -> list[Any]:
    """The layers between a row of a table and the family's network, each with its ``width``."""
    if len(shape) > 1 or of.family.text:
        return []
    (width,) = shape
    layers: list[Any] = []
    columns = [column for column in categories if len(column) >= FEWEST]
    embedding = embedding_of(*of.numbers, len(numbers)) if numbers else None
    if embedding is not None:
        first = Numbers(width, numbers, embedding)
        columns, width = [first.moved(column) for column in columns], first.width
        layers.append(first)
    if of.embedding is not None and columns:
        layers.append(Categories(width, columns, of.embedding))
        width = layers[-1].width
    return [*layers, Scale(width)] if of.input_scale else layers


def _layer(technique: Technique, value: Any, shape: Shape) -> nn.Module:
    assert technique.layer is not None
    return technique.layer(shape, value)


def _branch_layer(technique: Technique, value: Any, shape: Shape, depth: float) -> nn.Module:
    """The layer at the end of a residual branch, at a share of the network's depth."""
    return _layer(technique, value * depth, shape)
