"""Where the artifacts of two databases lie: each has a place of its own."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from optuna.artifacts.exceptions import ArtifactNotFound

from tuner.errors import UsageError
from tuner.storage import Storage, artifact_store
from tuner.storage.artifacts import ARTIFACTS_VARIABLE, Artifacts, DatabaseArtifacts


@dataclass(frozen=True)
class Places:
    """Where artifacts come from, the first that has one, and where they go to."""

    sources: tuple[Artifacts, ...]
    target: Artifacts

    def carry(self, artifact_ids: Iterable[str]) -> None:
        """Copy artifacts; one that is gone at its source stays gone."""
        for artifact_id in artifact_ids:
            for source in self.sources:
                with suppress(ArtifactNotFound), source.open_reader(artifact_id) as file:
                    self.target.write(artifact_id, file)
                    break


def places(source: Storage, target: Storage, artifacts: str | None) -> Places:
    """The places of two databases.

    Args:
        artifacts: the target's; the source's is what TUNER_ARTIFACTS says, else the source itself.

    Raises:
        UsageError: they would share one: what one deletes would be gone from the other.
    """
    kept, own = artifact_store(source), DatabaseArtifacts(source.database)
    if kept.root is None and artifacts is None:
        return Places((own,), DatabaseArtifacts(target.database))
    if artifacts is None:
        what = f"{ARTIFACTS_VARIABLE} is where the source's artifacts lie, which no other may use"
        hint = "--to-artifacts URL says where the target's are to lie; name it there from then on"
        raise UsageError(what, hint=hint)
    put = artifact_store(target, artifacts)
    if kept.root and put.root and _overlap(kept.root, put.root):
        what = "is where the source's artifacts lie, which no other database may use"
        raise UsageError(what, where=f"--to-artifacts {artifacts}", hint="name another folder")
    return Places((kept, own), put)


def _overlap(first: str, second: str) -> bool:
    return f"{first}/".startswith(f"{second}/") or f"{second}/".startswith(f"{first}/")
