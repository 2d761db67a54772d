"""The claim of a trial: guess or look what is next, propose, and take it if that still holds."""

from __future__ import annotations

from collections.abc import Callable

from optuna.trial import FrozenTrial
from sqlalchemy import Connection

from tuner.storage import claims, rows
from tuner.storage.lease import LEASE_SECONDS, ExhaustedError, Lease, Propose
from tuner.storage.mirror import Mirror
from tuner.storage.trial_methods import TrialMethods


class Claiming(TrialMethods):
    """Hands out trials.

    Attributes:
        lease_seconds: how long a lease lasts without being renewed.
    """

    lease_seconds: float = LEASE_SECONDS

    def claim(self, study_id: int, holder: str, propose: Propose) -> Lease | None:
        """Hold the next trial, or None if there is none to hand out now.

        In this order: a trial whose lease ran out or was given back, an enqueued one, a new one
        if the budget has room. A proposal that is finished already is stored as it is, and the
        claim goes on to the next. `propose` is called outside the transaction if it learns, which
        takes its time; otherwise within, or many workers would all propose for one number, and
        all but one in vain.

        Raises:
            MissingError: there is no such study.
            OutageError: the database does not answer.
        """
        try:
            return self._claim(study_id, holder, propose)
        except ExhaustedError:
            return None

    def _claim(self, study_id: int, holder: str, propose: Propose) -> Lease | None:
        found = self._guess(study_id)
        late = found is not None and not _learns(propose)  # its number is sure only when taken
        while True:
            found = found or self._plan(study_id)
            if found is None:
                return None
            proposal = None
            if found.kind != claims.RESUME and not late and not _covers(propose):
                proposal = self._propose(found, propose)
            lease = self._take(study_id, holder, found, proposal, propose)
            if lease is not None and not lease.trial.state.is_finished():
                return lease
            found, late = None, False

    def _guess(self, study_id: int) -> claims.Plan | None:
        """What memory says is next, at no cost; a proposal that learns may get another number."""
        with self._lock:
            mirror = self._mirror(study_id)
            found = claims.unstarted(mirror, mirror.budget, 0.0) if mirror.heads else None
        return found if found is not None and found.kind == claims.NEW else None

    def _plan(self, study_id: int) -> claims.Plan | None:
        with self._lock, self.database.read() as connection:
            mirror = self._mirror(study_id)
            return claims.plan(connection, study_id, mirror, lock=False)

    def held(self, study_id: int) -> int:
        """How many running trials workers hold, or gave back for others to go on with."""
        with self.database.read() as connection:
            return claims.held(connection, study_id)

    def _propose(self, found: claims.Plan, propose: Propose) -> FrozenTrial:
        if found.kind == claims.NEW:
            return propose(found.head.number, None)
        template = self.get_trial(found.head.trial_id)
        return claims.fill(template, propose(found.head.number, claims.fixed(template)))

    def _take(
        self,
        study_id: int,
        holder: str,
        expected: claims.Plan,
        proposal: FrozenTrial | None,
        propose: Propose,
    ) -> Lease | None:
        """Hold what was expected; None if something else is next by now."""
        ttl = self.lease_seconds
        with self._lock:
            mirror = self._mirror(study_id)
            with self.database.write() as connection:
                found = claims.plan(connection, study_id, mirror, lock=True)
                if found is None or not _still(expected, found):
                    return None
                other = proposal is None or found.head.number != expected.head.number
                if found.kind != claims.RESUME and _covers(propose):
                    proposal = self._covering(connection, study_id, found, propose)
                elif found.kind == claims.NEW and other:
                    proposal = self._renumbered(proposal, found.head.number, propose)
                if proposal is None:
                    lease = claims.resume(connection, study_id, found, holder, ttl)
                    head = found.head
                else:
                    made = claims.start(connection, study_id, found, proposal, holder, ttl)
                    if made is None:
                        return None
                    lease, head = made
            self._show(mirror, lease, head)
            return lease

    def _covering(
        self, connection: Connection, study_id: int, found: claims.Plan, propose: Propose
    ) -> FrozenTrial:
        """What no other trial has, which only those trials tell that were added until now."""
        mirror = self._mirror(study_id)
        self._load(connection, mirror, study_id)
        self._reads = False
        try:
            if found.kind == claims.NEW:
                return propose(found.head.number, None)
            template = mirror.trials[found.head.trial_id]
            return claims.fill(template, propose(found.head.number, claims.fixed(template)))
        finally:
            self._reads = True

    def _show(self, mirror: Mirror, lease: Lease, head: rows.Head) -> None:
        """Take the new lease's trial into memory."""
        mirror.mark(head)
        mirror.load([rows.Read(lease.trial, 0)])
        self._study_of[lease.trial_id] = lease.study_id
        if not lease.trial.state.is_finished():
            mirror.own.add(lease.trial_id)
        if not mirror.stale and not mirror.growing():
            mirror.look.took(0.0)  # the claim has seen all there is

    def _renumbered(
        self, proposal: FrozenTrial | None, number: int, propose: Propose
    ) -> FrozenTrial:
        """The trial of a number that was not known, or that another worker has taken since.

        Within a transaction nothing is read: others wait, and there may be no connection.
        """
        if proposal is not None and _learns(propose):  # asked now: it may differ by number
            renumber: Callable[[FrozenTrial, int], FrozenTrial] | None
            renumber = getattr(propose, "renumber", None)
            return proposal if renumber is None else renumber(proposal, number)
        self._reads = False
        try:
            return propose(number, None)
        finally:
            self._reads = True


def _learns(propose: Propose) -> bool:
    """Whether what it proposed last may be given another number."""
    return bool(getattr(propose, "learns", True))


def _covers(propose: Propose) -> bool:
    """Whether it gives each trial what no other one has."""
    return bool(getattr(propose, "covers", False))


def _still(expected: claims.Plan, found: claims.Plan) -> bool:
    if found.kind != expected.kind:
        return False
    return found.kind == claims.NEW or found.head.trial_id == expected.head.trial_id
