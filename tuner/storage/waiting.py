"""What waits to be written, by lease; whoever uses it holds a lock."""

from __future__ import annotations

from collections.abc import Collection

from tuner.storage.lease import Lease, Update
from tuner.storage.queued import Queued

Key = tuple[int, int]


def key(lease: Lease) -> Key:
    """A trial's id and the token of its holder."""
    return lease.trial_id, lease.token


class Waiting:
    """Updates on their way: queued, sent, or written so that a crash may take them back.

    Args:
        unsure: whether what is not durable may be lost after it was written.
    """

    def __init__(self, unsure: bool) -> None:
        self.queue: dict[Key, Queued] = {}
        self.sent: dict[Key, Queued] = {}
        self._unsure: dict[Key, Queued] | None = {} if unsure else None

    def put(self, update: Update, now: float) -> Queued:
        """Merge an update with what waits; `now` is by the monotonic clock."""
        queued = self.queue.get(key(update.lease))
        if queued is None:
            queued = self.queue[key(update.lease)] = Queued(update, now)
        else:
            queued.add(update, now)
        return queued

    def take(self, now: float) -> list[Update]:
        """All that is queued; it counts as sent until `back` or `written`."""
        self.sent = {each: self._whole(each, queued, now) for each, queued in self.queue.items()}
        self.queue = {}
        return [queued.update(now) for queued in self.sent.values()]

    def _whole(self, which: Key, queued: Queued, now: float) -> Queued:
        if not self._unsure or not queued.lasting:
            return queued
        earlier = self._unsure.pop(which, None)
        if earlier is None:
            return queued
        earlier.add(queued.update(now), now)
        return earlier

    def back(self, now: float) -> None:
        """What was sent could not be written: it waits again, before what came later."""
        for which, later in self.queue.items():
            if which in self.sent:
                self.sent[which].add(later.update(now), now)
            else:
                self.sent[which] = later
        self.queue, self.sent = self.sent, {}

    def written(self, lost: Collection[Key], now: float) -> list[Lease]:
        """Forget what was sent; the leases of which nothing waits any more."""
        sent, self.sent = self.sent, {}
        for which in lost:
            self.queue.pop(which, None)
        for which, queued in sent.items():
            self._keep(which, queued, which in lost, now)
        return [queued.lease for which, queued in sent.items() if which not in self.queue]

    def _keep(self, which: Key, queued: Queued, lost: bool, now: float) -> None:
        if self._unsure is None:
            return
        if lost:
            self._unsure.pop(which, None)
        elif not queued.lasting:
            earlier = self._unsure.setdefault(which, queued)
            if earlier is not queued:
                earlier.add(queued.update(now), now)

    def ended(self) -> int:
        """How many trials that ended are queued."""
        return sum(queued.state is not None for queued in self.queue.values())

    def __len__(self) -> int:
        return len(self.queue.keys() | self.sent.keys())
