"""Formats studies, the catalogue, status and events as tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tuner.errors import MissingError
from tuner.logs import document, line
from tuner.output import one_line
from tuner.results.best import LeftOutTrials
from tuner.search.pruners import PROMOTE
from tuner.show.snapshot import shown_url
from tuner.show.text import duration, several
from tuner.space import format_value
from tuner.storage.history import Event
from tuner.study.trials import LeftOut, left_out_words

if TYPE_CHECKING:
    from tuner.optuna_private import FrozenStudy
    from tuner.storage import Storage


# Tables of a study, and of the catalogue.


Record = Mapping[str, Any]
MOST = 100
"""Columns that are shown."""


def plain_table(*columns: str, title: str = "") -> Table:
    """A table without lines; every cell is text as it is, and long ones are folded."""
    table = Table(box=None, pad_edge=False, title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def check(study: Record) -> RenderableType:
    """What ``tuner check`` prints: parameters, data and the size of the search.

    Args:
        study: ``name``, ``description``, ``metric``, ``search``, ``leaves``, ``extent`` and
            ``data`` and ``recording``; or the record of a study with a user's objective.
    """
    if "objective" in study:
        return _objective(study)
    table = plain_table("parameter", "value or range", "baseline", "description")
    for leaf in study["leaves"]:
        baseline = "–" if leaf["baseline"] is None else format_value(leaf["baseline"])
        row = (leaf["name"], leaf["may_be"], baseline, _description(leaf))
        table.add_row(*map(Text, row), style="bold" if leaf["searched"] else "")
    search = _search_lines(study["search"], study["extent"]["seed"])
    steps = f"steps     {recording_words(study['recording'])}"
    lines = [*data_lines(study["data"]), *extent_lines(study["extent"]), *search, steps]
    title = Text(f"{study['name']}: {study['description']}".removesuffix(": "))
    metric = Text(f"metric    {study['metric']}")
    columns = [Text(), columns_table(study["data"])] if study["data"]["columns"] else []
    return Group(title, metric, *map(Text, lines), Text(), table, *columns)


def _objective(study: Record) -> RenderableType:
    queue = len(study["enqueued"])
    first = f", {queue} of them enqueued" if queue else ""
    limit = study["trial_timeout"]
    first += f"; each ends after {duration(limit)} at the latest" if limit is not None else ""
    lines = [
        f"{study['name']}: {study['description']}".removesuffix(": "),
        f"objective {study['objective']}: {study['direction']} {study['metric']}",
        f"cost      {several(study['trials'], 'trial')}{first}",
        *_search_lines(study["search"], study["seed"]),
    ]
    return Group(*map(Text, lines))


def columns_table(data: Record) -> RenderableType:
    """The decision about each column and its reason, for the first hundred."""
    table = plain_table("column", "kind", "decision", "reason")
    for each in data["columns"][:MOST]:
        table.add_row(*(Text(each[key]) for key in ("name", "kind", "decision", "reason")))
    more = len(data["columns"]) - MOST
    return Group(table, Text(f"and {more} more: --json lists all")) if more > 0 else table


def _description(leaf: Record) -> str:
    unit = leaf["unit"]
    return f"{leaf['doc']} ({unit})" if unit not in ("", "none", "name") else str(leaf["doc"])


def data_lines(data: Record) -> list[str]:
    """Rows, shape and target in words."""
    shape = " x ".join(map(str, data["shape"]))
    classes = f", {len(data['classes'])} classes" if data["classes"] else ""
    if data["targets"]:
        classes = f" of {len(data['targets'])}: {', '.join(data['targets'][:20])}"
    rows = f"{data['train']:,} rows to train on, {data['validation']:,} to validate"
    if data["folds"]:
        rows = f"{data['folds']} folds, the last with {rows}"
    each = f"; {shape} features" if data["words"] is None else f", each of at most {shape} words"
    known = "" if data["words"] is None else f" ({data['words']:,} are known)"
    lines = [f"data      {rows}{each}{known}; {data['task']}{classes}"]
    lines += [f"note      {data['note']}"] * bool(data["note"])
    lines += [f"weights   {data['weights']}"] * bool(data["weights"])
    test = data["test"]
    lines += [f"test      {'rows of their own' if test is None else f'{test:,} rows set aside'}"]
    counts = data["balance"]
    labels = bool(data["targets"])
    total = data["train"] + data["validation"] if labels else sum(counts.values())
    shares = [f"{name} {count / total:.1%}" for name, count in list(counts.items())[:20]]
    kind = "labels    " if labels else "classes   "
    return lines + ([f"{kind}{', '.join(shares)}"] if shares else [])


def extent_lines(extent: Record) -> list[str]:
    """The size of the search and the most that it can cost, in words."""
    count = extent["configurations"]
    many = "infinitely many configurations" if count is None else several(count, "configuration")
    size = f"size      {several(extent['dimensions'], 'dimension')}, {many}"
    trials = "trials" if extent["trials"] is None else several(extent["trials"], "trial")
    each = several(extent["epochs_per_trial"], "epoch")
    cost = f"cost      at most {several(extent['epochs'], 'epoch')}: {trials} of {each}"
    if extent["folds"]:
        cost += f" on each of {extent['folds']} folds"
    if extent["pruner"] == PROMOTE:
        cost += ", less those of paused trials"
    elif extent["pruner"] != "none":
        cost += f", less what {extent['pruner']} prunes"
    return [size, cost]


def _search_lines(words: Mapping[str, str], seed: int) -> list[str]:
    """What the sampler and the pruner do."""
    return [f"sampler   {words['sampler']}", f"pruner    {words['pruner']}", f"seed      {seed}"]


def recording_words(reasons: Mapping[str, str]) -> str:
    """Whether steps are recorded and replayed; by family if several differ.

    >>> recording_words({"mlp": ""})
    'are recorded'
    >>> recording_words({"mlp": "", "nets:mine": "it has hooks"})
    'are recorded; of nets:mine not: it has hooks'
    """
    if not any(reasons.values()):
        return "are recorded"
    if len(set(reasons.values())) == 1:
        return f"are not recorded: {next(iter(reasons.values()))}"
    others = [f"of {name} not: {reason}" for name, reason in reasons.items() if reason]
    return "; ".join(["are recorded", *others])


def catalogue(entries: Mapping[str, Sequence[Record]]) -> RenderableType:
    """Techniques, optimizers, schedules, families, losses and metrics."""
    techniques = plain_table("technique", "off", "suggested range", "what it does", "source")
    for each in entries["techniques"]:
        needs = ("; needs images" if each["images"] else "") + (
            "; needs classes" if each["classes"] else ""
        )
        row = (each["name"], format_value(each["off"]), each["suggested"])
        techniques.add_row(*map(Text, (*row, _description(each) + needs, each["source"])))
    return Group(
        techniques,
        Text(),
        _named("optimizer", entries["optimizers"]),
        Text(),
        _named("schedule", entries["schedules"]),
        Text(),
        _named("family", entries["families"]),
        Text(),
        _named("categories", entries["categories"]),
        Text(),
        _named("numbers", entries["numbers"]),
        Text(),
        _named("loss", entries["losses"]),
        Text(),
        _named("metric", entries["metrics"]),
    )


def _named(title: str, entries: Sequence[Record]) -> Table:
    """The parameters of each name, one a line, with its default and a range to search."""
    table = plain_table(title, "parameter", "default", "suggested range", "description", "source")
    for entry in entries:
        rows = [
            (leaf["name"], format_value(leaf["default"]), leaf["suggested"], leaf["doc"])
            for leaf in entry["leaves"]
        ]
        if "learning_rate" in entry:
            rate = format_value(entry["learning_rate"])
            rows.append(("learning_rate", rate, None, "usual, for the optimizer's own table"))
        for i, row in enumerate(rows or [("–", "", "", entry.get("doc", ""))]):
            first, last = ("", "") if i else (entry["name"], entry["source"])
            table.add_row(*(Text(cell or "") for cell in (first, *row, last)))
    return table


# The decisions of ``tuner init``.


FEW = 20
"""Columns with gaps that are named."""
LONGEST = 1000
"""Characters of a value that are shown."""


def init_lines(survey: Record) -> RenderableType:
    """Rows, columns by kind, gaps, classes, decisions, and the next commands.

    Args:
        survey: ``name``, ``file``, ``rows``, ``missing``, ``data`` and ``decided``.
    """
    data = survey["data"]
    kinds = Counter(each["kind"] for each in data["columns"])
    lines = [f"{survey['file']} written", f"found     {survey['rows']:,} rows"]
    if kinds:
        lines[-1] += ", columns: " + ", ".join(f"{n} {kind}" for kind, n in kinds.items())
        lines.append(f"missing   {_gaps(survey) or 'nothing'}")
    lines += data_lines(data)
    table = plain_table("decided", "value", "why")
    for each in survey["decided"]:
        key = f"({each['key']})" if each["suggested"] else each["key"]
        table.add_row(Text(key), Text(_short(one_line(each["value"]))), Text(each["why"]))
    columns = [Text(), columns_table(data)] if kinds else []
    study = f"--study {survey['name']}"
    if not survey["file"].endswith(f"studies/{survey['name']}.toml"):
        study = f"--study {survey['file']}"
    after = Text(f"next      tuner check {study}; tuner optimize {study}")
    return Group(*map(Text, lines), *columns, Text(), table, Text(), after)


def _short(value: str) -> str:
    """A value cut for the table; the file has all of it."""
    return value if len(value) <= LONGEST else f"{value[:LONGEST]} …"


def _gaps(survey: Record) -> str:
    rows = survey["rows"]
    named = [f"{name} {n:,} ({n / rows:.1%})" for name, n in survey["missing"].items()]
    more = f" and {len(named) - FEW} more columns" if len(named) > FEW else ""
    return ", ".join(named[:FEW]) + more


# The list of studies, from files and a database.


SPEC = "tuner:spec"


def with_stored(files: Iterable[Record], storage: Storage) -> list[Record]:
    """Study files and the database's studies together, by name; one study is one record."""
    records = {record["name"]: record for record in files}
    for stored in storage.get_all_studies():
        try:
            progress = storage.progress(stored._study_id)
        except MissingError:  # deleted since they were listed
            continue
        counts = {"trials": progress.limit, "finished": progress.finished, "state": progress.state}
        known = records.get(stored.study_name)
        where = "database" if known is None else f"{known['where']}, database"
        records[stored.study_name] = {**(known or _stored_record(stored)), **counts, "where": where}
    return [records[name] for name in sorted(records)]


def _stored_record(study: FrozenStudy) -> Record:
    spec, document = study.user_attrs.get(SPEC), {"description": "not made by tuner"}
    with suppress(ValueError, TypeError):  # another program wrote it
        document = json.loads(spec) if spec else document
    about = document.get("description", "") if isinstance(document, dict) else ""
    names = study.system_attrs.get("study:metric_names", [None])
    return {
        "name": study.study_name,
        "file": None,
        "description": str(about),
        "metric": names[0],
        "error": None,
    }


def studies_table(records: Sequence[Record]) -> RenderableType:
    """A table, one study a row; a broken file with its error."""
    table = plain_table("study", "where", "metric", "trials", "description")
    for record in records:
        finished, trials = record.get("finished"), record["trials"]
        done = "–" if trials is None else str(trials)
        done = done if finished is None else f"{finished} of {trials} done"
        about = Text(record["description"])
        if record["error"]:
            about = Text(record["error"].splitlines()[0], "red")
        table.add_row(Text(record["name"]), record["where"], record["metric"] or "–", done, about)
    return table


# Progress and workers of the studies of a database.


LISTED_SECONDS = 3600.0
"""A lost worker is shown this long: it may be suspended, or its machine offline."""


def overview(storage: Storage, studies: Mapping[str, int]) -> dict[str, Any]:
    """Progress of the studies, and all workers, in a few short reads.

    Args:
        studies: ids by name.
    """
    with storage.database.read() as connection:
        left_out_by_study = LeftOutTrials()(connection, studies.values())
    return {
        "storage": shown_url(storage.url),
        "studies": list(_studies(storage, studies, left_out_by_study)),
        "workers": [
            {**asdict(worker), "lost": worker.lost}
            for worker in storage.workers()
            if worker.age <= LISTED_SECONDS
        ],
    }


def _studies(
    storage: Storage,
    studies: Mapping[str, int],
    left_out_by_study: Mapping[int, Mapping[int, LeftOut]],
) -> Iterator[dict[str, Any]]:
    for name, study_id in studies.items():
        left_out = [asdict(each) for each in left_out_by_study.get(study_id, {}).values()]
        with suppress(MissingError):  # deleted since they were listed
            yield {**_study(storage, name, study_id), "left_out": left_out}


def _study(storage: Storage, name: str, study_id: int) -> dict[str, Any]:
    progress = storage.progress(study_id)
    pace = None if progress.met or not progress.running else storage.seconds_per_trial(study_id)
    open_trials = None if progress.limit is None else progress.limit - progress.finished
    left = None if pace is None or open_trials is None else pace * open_trials
    return {
        "name": name,
        "state": progress.state,
        "budget": progress.limit,
        "epochs_budget": progress.epochs,
        "finished": progress.finished,
        "running": progress.running,
        "interrupted": len(progress.interrupted),
        "paused": progress.paused,
        "waiting": progress.waiting,
        "complete": progress.complete,
        "pruned": progress.pruned,
        "failed": progress.failed,
        "seconds_left": 0.0 if progress.met else left,
    }


def status_table(status: Mapping[str, Any]) -> RenderableType:
    """A table of studies, and one of workers."""
    parts: list[RenderableType] = [_table(status["studies"]), Text()]
    for study in status["studies"]:
        if words := left_out_words([LeftOut(**each) for each in study["left_out"]]):
            parts += [Text(f"{study['name']}: {words}"), Text()]
    parts.append(_workers(status["workers"]) if status["workers"] else Text("no workers"))
    return Group(*parts)


def _table(studies: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not studies:
        return Text("no studies")
    rare = [key for key in ("interrupted", "paused") if any(study[key] for study in studies)]
    counts = ("finished", "running", *rare, "pruned", "failed")
    table = plain_table("study", "state", "budget", *counts, "time left")
    for study in studies:
        numbers = (_budget(study), *(str(study[key]) for key in counts))
        left = duration(study["seconds_left"])
        table.add_row(Text(study["name"]), study["state"], *numbers, left)
    return table


def _budget(study: Mapping[str, Any]) -> str:
    """Trials as a number, epochs with their unit."""
    trials, epochs = study["budget"], study["epochs_budget"]
    parts = [] if trials is None else [str(trials)]
    return " or ".join(parts + ([] if epochs is None else [several(epochs, "epoch")]))


def _workers(workers: Sequence[Mapping[str, Any]]) -> RenderableType:
    table = plain_table("worker", "host", "process", "device", "trials held", "last renewal")
    for worker in workers:
        shown = (worker["holder"], worker["host"], worker["pid"], worker["device"])
        age = f"{duration(worker['age'])} ago{', lost' if worker['lost'] else ''}"
        table.add_row(*(Text(str(cell)) for cell in shown), str(worker["trials"]), age)
    return table


# Events of the database, one line each.


def event_record(event: Event) -> dict[str, Any]:
    """An event for programs."""
    return document(event.time, _fields(event))


def event_line(events: Iterable[Event]) -> list[str]:
    """One line per event, for people."""
    return [line(event.time, _fields(event)) for event in events]


def _fields(event: Event) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "study": event.study,
        "trial": event.trial,
        "worker": event.worker,
        **event.detail,
    }
