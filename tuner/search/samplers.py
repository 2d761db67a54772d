"""The catalogue of samplers, with the options of ``search.sampler``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tuner.errors import StudyFileError, nearest
from tuner.search.options import resolve
from tuner.space import Leaf, Node

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from tuner.search.joint import Joint
    from tuner.search.tpe import Past


# The builders of samplers; a builder imports the sampler's module only when it is called.


@dataclass(frozen=True)
class Request:
    """The arguments of a builder: every option's value, the derived seed, the trial's number, for
    the grid the trial's parameters, for tpe the past, and the study's space as far as declared."""

    options: dict[str, Any]
    seed: int
    number: int
    point: Mapping[str, Any]
    past: Past | None
    nodes: Sequence[Node]

    @property
    def space(self) -> Joint | None:
        """The joint space that the study declares; None if it declares none."""
        from tuner.search.joint import joint_of_nodes

        return joint_of_nodes(self.nodes) if self.nodes else None


def build_tpe(request: Request) -> BaseSampler:
    options = dict(request.options)
    if options.pop("joint") and options["multivariate"] and not options["group"]:
        from tuner.search.tpe import JointTPESampler, Past

        past = request.past or Past()
        return JointTPESampler(past, request.space, seed=request.seed, **options)
    if request.past is None:
        from optuna.samplers import TPESampler

        return TPESampler(seed=request.seed, **options)
    from tuner.search.tpe import CachedTPESampler

    return CachedTPESampler(request.past, seed=request.seed, **options)


def build_auto(request: Request) -> BaseSampler:
    from tuner.search.sampler import Sampler

    return Sampler(seed=request.seed, space=request.space, **request.options)


def build_random(request: Request) -> BaseSampler:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=request.seed)


def build_gp(request: Request) -> BaseSampler:
    options = {"seed": request.seed, "warn_independent_sampling": False, **request.options}
    if options.pop("joint"):
        from tuner.search.gp import JointGPSampler

        return JointGPSampler(request.space, **options)
    from optuna.samplers import GPSampler

    return GPSampler(**options)


def build_cmaes(request: Request) -> BaseSampler:
    from tuner.search.cmaes import NumbersCmaEsSampler

    return NumbersCmaEsSampler(
        seed=request.seed, warn_independent_sampling=False, **request.options
    )


def build_qmc(request: Request) -> BaseSampler:
    from tuner.search.by_number import QuasiRandomSampler

    return QuasiRandomSampler(request.seed, request.number, **request.options)


def build_grid(request: Request) -> BaseSampler:
    from tuner.search.by_number import Point

    return Point(request.point)


# The samplers by name, with the options of ``search.sampler``.
#
# A sampler is built afresh for each trial. Its randomness comes from the study's seed and the
# trial's number, so two workers with one seed never repeat one another's trials, and the same
# history gives the same proposal to whoever asks.


WHERE = "search.sampler"


@dataclass(frozen=True)
class SamplerEntry:
    """A sampler of the catalogue.

    Args:
        name: as in the study file.
        build: makes the sampler of one trial.
        options: of the study file.
        learns: whether it proposes by the results of other trials.
        once: whether it tries no configuration twice as long as another one is left.
        per_number_seed: whether ``seed`` differs for each trial; otherwise the sampler walks one
            sequence for the whole study and takes its place from the number.
        doc: one line for people.
    """

    name: str
    build: Callable[[Request], BaseSampler]
    options: tuple[Leaf, ...]
    learns: bool
    per_number_seed: bool
    doc: str
    once: bool = False


_JOINT = Leaf(
    "joint",
    bool,
    True,
    doc="model the parameters that only some trials have together with the others",
)
_STARTUP = "finished trials before it stops sampling at random"

_ENTRIES = (
    SamplerEntry(
        "tpe",
        build_tpe,
        (
            Leaf("n_startup_trials", int, 10, minimum=0, doc=_STARTUP),
            Leaf("n_ei_candidates", int, 24, minimum=1, doc="candidates compared for each trial"),
            Leaf("multivariate", bool, True, doc="model parameters jointly, not one by one"),
            Leaf("group", bool, False, doc="model each branch of a conditional space jointly"),
            Leaf("constant_liar", bool, True, doc="avoid the configurations of running trials"),
            _JOINT,
        ),
        learns=True,
        per_number_seed=True,
        doc="tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011)",
    ),
    SamplerEntry(
        "auto",
        build_auto,
        (
            Leaf(
                "n_startup_trials",
                int,
                5,
                minimum=1,
                doc="finished trials before the model proposes",
            ),
        ),
        learns=True,
        per_number_seed=False,
        doc="a Gaussian process over all parameters at once, switches and nested ones included",
        once=True,
    ),
    SamplerEntry("random", build_random, (), False, True, "uniform, or log-uniform"),
    SamplerEntry(
        "gp",
        build_gp,
        (
            Leaf("n_startup_trials", int, 10, minimum=1, doc=_STARTUP),
            Leaf("deterministic_objective", bool, False, doc="assume results without noise"),
            _JOINT,
        ),
        learns=True,
        per_number_seed=True,
        doc="Gaussian process with log expected improvement (Ament et al., NeurIPS 2023)",
    ),
    SamplerEntry(
        "cmaes",
        build_cmaes,
        (
            Leaf("n_startup_trials", int, 1, minimum=1, doc=_STARTUP),
            Leaf(
                "popsize",
                int,
                None,
                minimum=4,
                doc="trials in a generation; 4 + 3 ln(d) if not given",
            ),
            Leaf("consider_pruned_trials", bool, True, doc="learn from pruned trials' last value"),
            Leaf(
                "use_separable_cma", bool, False, doc="a diagonal covariance: for many parameters"
            ),
            Leaf("with_margin", bool, False, doc="keep integers from freezing at one value"),
            Leaf("lr_adapt", bool, False, doc="adapt the learning rate: for noisy results"),
        ),
        learns=True,
        per_number_seed=True,
        doc="CMA-ES for the numbers (Hansen 2016), random for the choices",
    ),
    SamplerEntry(
        "qmc",
        build_qmc,
        (
            Leaf(
                "qmc_type",
                str,
                "sobol",
                options=dict.fromkeys(("sobol", "halton"), ()),
                doc="which sequence of points",
            ),
            Leaf("scramble", bool, True, doc="randomise the sequence by the study's seed"),
        ),
        learns=False,
        per_number_seed=False,
        doc="a low-discrepancy sequence: more even than random",
    ),
    SamplerEntry(
        "grid",
        build_grid,
        (),
        learns=False,
        per_number_seed=False,
        doc="every configuration once, in a shuffled order",
        once=True,
    ),
)

SAMPLERS: dict[str, SamplerEntry] = {entry.name: entry for entry in _ENTRIES}


def check_sampler(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Every option's value, checked; raises StudyFileError with its dotted path."""
    if name not in SAMPLERS:
        raise StudyFileError(
            f"no sampler is called {name!r}", where=WHERE, hint=nearest(name, SAMPLERS)
        )
    return resolve(name, SAMPLERS[name].options, options, WHERE)


def build_sampler(
    name: str,
    options: Mapping[str, Any],
    *,
    seed: int,
    number: int,
    point: Mapping[str, Any] = MappingProxyType({}),
    past: Past | None = None,
    nodes: Sequence[Node] = (),
) -> BaseSampler:
    """The sampler that proposes trial ``number`` of a study with this seed.

    Args:
        name: a key of SAMPLERS.
        options: those that the study file sets; the rest has defaults.
        seed: the study's.
        number: the trial's, 0 or more.
        point: for ``grid``, the parameters that ``SearchGrid`` chose.
        past: for ``tpe``, the study's trials that one process caches: the same proposals, sooner.
        nodes: of a study that declares its parameters.

    Raises:
        StudyFileError: an unknown name or option, a wrong value, or options that exclude
            one another.
    """
    values = check_sampler(name, options)
    entry = SAMPLERS[name]
    stream = derived_seed(seed, number if entry.per_number_seed else None)
    with warnings.catch_warnings():
        # Optuna marks some options as experimental, which is for the study's author to know.
        warnings.simplefilter("ignore")
        try:
            return entry.build(Request(values, stream, number, point, past, nodes))
        except ValueError as error:
            raise StudyFileError(str(error), where=WHERE) from error


def derived_seed(seed: int, number: int | None) -> int:
    """A seed in [0, 2**32) for the sampler of one trial, or of the whole study; stable for ever."""
    text = f"sampler:{seed}" if number is None else f"sampler:{seed}:{number}"
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big")
