"""Workers and their leases: alive, given back, signed on and off."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.storage import fences, progress
from tuner.storage.claiming import Claiming
from tuner.storage.lease import Lease, Worker
from tuner.storage.mirror import Mirror


class Leasing(Claiming):
    """Keeps what was handed out with its worker, or lets it go."""

    def renew(self, holder: str) -> None:
        """Extend all leases of a worker, and tell that it is alive."""
        with self.database.write() as connection:
            fences.renew(connection, holder, self.lease_seconds)
            told = self.database.outages
            fences.tell_outages(connection, holder, told)
        self.database.outages = self.database.outages[len(told) :]

    def release(self, leases: Sequence[Lease]) -> None:
        """Give leases back, so that another worker can go on with these trials at once."""
        if leases:
            with self.database.write() as connection:
                fences.release(connection, leases)
        with self._lock:
            for lease in leases:
                self._mirror_of(lease).own.discard(lease.trial_id)

    def register_worker(self, holder: str, host: str, pid: int, device: str) -> None:
        with self.database.write() as connection:
            fences.register(connection, holder, host, pid, device)

    def unregister_worker(self, holder: str) -> None:
        with self.database.write() as connection:
            told = self.database.outages
            fences.tell_outages(connection, holder, told)
            fences.unregister(connection, holder)
        self.database.outages = self.database.outages[len(told) :]

    def workers(self) -> list[Worker]:
        with self.database.read() as connection:
            return progress.workers(connection)

    def _mirror_of(self, lease: Lease) -> Mirror:
        return self._mirror(lease.study_id)
