"""What an engine's worker says of an errand that it cannot do."""

from __future__ import annotations

import pickle
import socket
from dataclasses import replace
from multiprocessing import Pipe

from tuner.errors import TrainingError, UsageError
from tuner.run.places.child import main
from tuner.run.places.errand import Errand

ERRAND = Errand("postgresql://somebody:planted-secret@nowhere/x", "small", None, (), "cpu")


def heard(message: bytes) -> Exception:
    """What the child says to an errand, as it comes through the pipe."""
    ours, theirs = Pipe()
    with ours, theirs:
        ours.send_bytes(message)
        main(theirs)
        assert ours.poll(0)
        said = ours.recv()
    assert isinstance(said, Exception)
    assert "planted-secret" not in str(said)
    return said


def test_an_errand_of_another_version_is_refused_with_both_versions() -> None:
    said = heard(pickle.dumps(replace(ERRAND, version="0.0.7")))
    assert isinstance(said, UsageError)
    assert f"tuner is {ERRAND.version} on this machine, and 0.0.7 where" in said.what
    assert said.where == socket.gethostname()


def test_an_errand_that_cannot_be_read_is_said() -> None:
    unknown = pickle.dumps(ERRAND).replace(b"tuner.run.places.errand", b"tuner.run.places.effort")
    said = heard(unknown)
    assert isinstance(said, TrainingError)
    assert (
        "a worker failed: ModuleNotFoundError: No module named 'tuner.run.places.effort'"
        in said.what
    )
