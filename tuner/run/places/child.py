"""The process of a worker that does an errand: ``python -m tuner.run.places.child PIPE``."""

from __future__ import annotations

import sys
from functools import partial
from multiprocessing.connection import Connection

from tuner.allowed import allowing, of_operator
from tuner.logs import note
from tuner.run.options import devices
from tuner.run.places.errand import Errand
from tuner.run.prepare import kept, prepared, stored_study
from tuner.run.process import child_leaving, deadline_of, open_worker, telling, work
from tuner.storage import opened
from tuner.worker import AnyJob
from tuner.worker.patience import Patience


def main(said: Connection) -> None:
    """Trains the errand's study, which it reads from the database, until nothing is left to do."""
    with telling(said):
        errand: Errand = said.recv()  # which another version of tuner may not be able to read
        errand.check()
        deadline = deadline_of(errand.seconds)
        leaving = child_leaving()
        with allowing(of_operator(errand.allow)):
            device = devices(errand.device)[0]
            job = Patience(leaving, note)(lambda: _job(errand))
            place = errand.artifacts
            opening = partial(open_worker, errand.url, device, leaving, artifacts=place)
            work(opening, job, deadline, leaving, said)


def _job(errand: Errand) -> AnyJob:
    storage = opened(errand.url)
    try:
        return kept(storage, prepared(*stored_study(storage, errand.study)))
    finally:
        storage.close()


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
