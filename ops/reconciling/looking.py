"""Reads what a reconciliation compares: runs, deltas and the published version of a collection. Judges nothing."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ops.operations import repository
from ops.reconciling.comparison import Finding, PublishedRows, compare, unreadable
from ops.target import Target
from pipeline.collections.layout import MANIFEST_NAME
from pipeline.collections.published import PublishedCollection
from pipeline.collections.reader import SnapshotSource
from pipeline.collections.recall import describe_losses, describe_missed, measure_recall
from pipeline.collections.versions import gaps_in_s3
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.deltas import delta_objects
from pipeline.errors import PermanentError
from pipeline.objects import ObjectStore


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """One collection, compared.

    Attributes:
        version: the published version; None when nothing was ever published.
        rows: rows in it.
        missed: texts in it that its Chroma collection does not find by their own vector, and readers rank beside it.
        runs: all of the table.
        deltas: deltas of the collection in the bucket.
        looked_at: when they were listed.
    """

    collection: CollectionName
    version: str | None
    rows: int
    missed: int
    runs: tuple[CompactionRun, ...]
    deltas: int
    findings: tuple[Finding, ...]
    looked_at: datetime

    @property
    def superseded(self) -> int:
        """Operations that changed nothing here, because something that happened later was there already."""
        return sum(run.progress(self.collection).superseded_by is not None for run in self.runs)


def reconcile(target: Target, collection: CollectionName) -> Reconciliation:
    """Compare one collection as readers see it in S3. It takes as long as reading every row's metadata.

    Raises:
        PermanentError: SNAPSHOT_MISSING, SNAPSHOT_CORRUPT when the pointer does not name a sound version.
    """
    # Completed before the version is opened: it must hold them. All runs after it: its ledger knows no others.
    before = completed(repository(target).all_runs(), collection)
    source = SnapshotSource.from_bucket(
        collection,
        s3_client=target.s3,
        bucket=target.outputs["vectorsBucket"],
        private_directory=target.cache_directory,
    )
    with closing(source):
        published = source.refresh()
        errors: list[PermanentError] = []
        runs = tuple(repository(target).all_runs(errors.append))
        moment = datetime.now(UTC)
        deltas = list(delta_objects(ObjectStore(target.s3), target.outputs["vectorsBucket"], collection))
        held = None if published is None else _rows(target, published)
        findings = compare(
            collection=collection,
            runs=runs,
            completed_before=before,
            published=held,
            deltas=deltas,
            now=moment,
            publish_every=timedelta(seconds=int(target.outputs["publishEverySeconds"])),
        )
        return Reconciliation(
            collection=collection,
            version=None if published is None else published.version,
            rows=0 if published is None else published.count,
            missed=0 if held is None else held.missed,
            runs=runs,
            deltas=len(deltas),
            findings=(*findings, *(unreadable(collection, error) for error in errors)),
            looked_at=moment,
        )


def completed(runs: Iterable[CompactionRun], collection: CollectionName) -> frozenset[str]:
    """The runs that a published version of the collection holds, by what they say themselves."""
    return frozenset(run.run_id for run in runs if run.progress(collection).state is RunState.COMPLETED)


def _rows(target: Target, published: PublishedCollection) -> PublishedRows:
    texts = published.database.rows.texts()
    index = published.open_index()
    recall = measure_recall(
        index, texts, published.vectors, published.database.distinct.records(), search_width=index.parameters.ef_search
    )
    unknown = sorted({*recall.missed} - {*published.missed()})
    return PublishedRows(
        run_ids=frozenset(published.database.ledger.run_ids()),
        rows=published.rows(),
        losses=(
            *describe_losses(recall, texts, published.vectors.size),
            *((f"{describe_missed(unknown, texts)}, and the version does not say so",) if unknown else ()),
        ),
        missed=len(recall.missed) - len(unknown),
        gaps=tuple(
            gaps_in_s3(
                ObjectStore(target.s3),
                target.outputs["vectorsBucket"],
                published.collection,
                published.pointer,
                (published.directory / MANIFEST_NAME).read_bytes(),
            )
        ),
    )
