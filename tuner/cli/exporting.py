"""The commands ``export`` and ``predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tuner.cli.options import Allow, Device, Json, StorageUrl, StudyName, show_json
from tuner.hidden import DEFAULT_STORAGE

ExportTrial = Annotated[
    int | None,
    typer.Option(
        "--trial",
        envvar="TUNER_EXPORT_TRIAL",
        min=0,
        help="A complete trial.  [default: the ensemble of confirm, its winner, or the best]",
    ),
]
Out = Annotated[
    Path,
    typer.Option("--out", envvar="TUNER_EXPORT_OUT", metavar="DIR", help="The folder to make."),
]
Final = Annotated[
    bool | None,
    typer.Option(
        "--final/--no-final",
        envvar="TUNER_FINAL",
        help="Train on the validation rows as well, or as in the search.  [default: as in the "
        "search; after confirm --all-rows, or --final where the test rows are your own]",
    ),
]
AllRows = Annotated[
    bool,
    typer.Option(
        "--all-rows",
        envvar="TUNER_ALL_ROWS",
        help="Measure a final training, then train the same on the test rows too, for use.",
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", envvar="TUNER_EXPORT_FORCE", help="Replace a folder that an export made."
    ),
]
Onnx = Annotated[
    bool,
    typer.Option(
        "--onnx", envvar="TUNER_ONNX", help="Also write model.onnx; needs the extra onnx."
    ),
]
Single = Annotated[
    bool,
    typer.Option(
        "--single",
        envvar="TUNER_SINGLE",
        help="One configuration, even where the ensemble of confirm helps.",
    ),
]
Uncalibrated = Annotated[
    bool,
    typer.Option(
        "--uncalibrated",
        envvar="TUNER_UNCALIBRATED",
        help="Leave probabilities as the network gives them.",
    ),
]
ModelFolder = Annotated[
    Path,
    typer.Option(
        "--model", envvar="TUNER_MODEL", metavar="DIR", help="The folder that `tuner export` wrote."
    ),
]
Input = Annotated[
    Path,
    typer.Option(
        "--input",
        envvar="TUNER_INPUT",
        metavar="FILE",
        help="Raw rows: a CSV, TSV, Parquet, NPZ or IDX file, an image, a folder of images, or "
        "module:function.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        envvar="TUNER_OUTPUT",
        metavar="FILE",
        help="The CSV file to write.  [default: stdout]",
    ),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        envvar="TUNER_KEEP",
        metavar="COLUMN",
        help="Copy this input column to the output, before the predictions; repeatable.",
    ),
]


def export(
    study: StudyName,
    out: Out,
    trial: ExportTrial = None,
    final: Final = None,
    all_rows: AllRows = False,
    force: Force = False,
    onnx: Onnx = False,
    single: Single = False,
    uncalibrated: Uncalibrated = False,
    storage: StorageUrl = DEFAULT_STORAGE,
    device: Device = "auto",
    allow: Allow = None,
    as_json: Json = False,
) -> None:
    """Retrain a configuration, or an ensemble, and export it as a self-contained folder."""
    from dataclasses import asdict

    from tuner.exports.card import cost
    from tuner.exports.write import export as export_trial
    from tuner.run.options import RunOptions
    from tuner.show.text import number
    from tuner.study.trials import left_out_words

    options = RunOptions(storage, device=device, allow=tuple(allow or ()))

    def say(line: str) -> None:
        typer.echo(f"warning: {line}", err=True)

    made = export_trial(
        study,
        out,
        options,
        trial=trial,
        final=final,
        all_rows=all_rows,
        force=force,
        onnx=onnx,
        single=single,
        uncalibrated=uncalibrated,
        say=say,
    )
    if as_json:
        return show_json({**asdict(made), "folder": str(made.folder)})
    rows = "test" if made.final else "validation"
    several = made.members > 1
    name = f"an ensemble of {made.members} networks" if several else f"trial {made.number}"
    typer.echo(
        f"{name} of {made.study}: {made.metric} {number(made.value)} on the {rows} "
        f"rows; in {out}: {', '.join(made.files)}"
    )
    if made.all_rows:
        typer.echo("then trained on all rows, so that no row is left to measure it")
    if several:
        typer.echo(f"{made.parameters:,} parameters; {cost(made.slowdown)}")
    if made.probabilities:
        typer.echo(made.probabilities)
    if words := left_out_words(made.left_out):
        typer.echo(words)
    return typer.echo(f"tuner predict --model {out} --input FILE uses it")


def predict(
    model: ModelFolder,
    file: Input,
    output: Output = None,
    keep: Keep = None,
    allow: Allow = None,
) -> None:
    """Predict raw rows with an exported network: classes and probabilities, or values."""
    from tuner.exports.predict import check_output, predict_file, to_file, to_stdout
    from tuner.imports import allowing, of_person

    def say(line: str) -> None:
        typer.echo(f"warning: {line}", err=True)

    pieces = predict_file(model, file, keep or (), say)
    with allowing(of_person(allow or ())):
        if output is None:
            return to_stdout(pieces)
        check_output(output, file)
        rows = to_file(pieces, output)
    return typer.echo(f"{rows} rows in {output}", err=True)
