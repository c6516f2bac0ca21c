"""Measures merchant resolution: learned on one half of real receipts, asked on the other, through the product.

``RECEIPTS_SROIE_PATH=receipts.jsonl python -m benchmarks.merchant_resolution``

The first half is embedded with its merchants given, merged and published by production's code. The second half is
embedded without merchants, by the same core, whose resolver reads the published version; nothing of it is merged. The
file's halves are measured, then random ones.

Right is the receipt's ``key.company``, whatever the case, punctuation and Unicode form (``merchant_key``). Another
legal form, another branch in brackets, a misread letter in the data set's own key: all of them are wrong answers.

Two precisions and one recall. A receipt is findable when its company, so compared, occurs in the learned half. Recall
and ``precision`` are of the findable receipts; ``of all`` is the precision of every answer, where any answer for a
receipt of a company that was never learned is wrong. Wrong answers are ``misprinted in the key`` when the receipt's
first lines hold the answer's name and not the key's: the data set, not the product, spells that company in two ways.
"""

import argparse
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.compaction.world import Services, World
from compaction_handler.merging import CollectionMerger
from ops.importers.sroie import read_sroie
from pipeline.collections.reader import SnapshotSource
from pipeline.contracts.messages import RunReference
from pipeline.contracts.ocr import OcrDocument
from pipeline.contracts.run import CompactionRun
from pipeline.embedding.core import EmbeddingCore, IncomingMessage
from pipeline.embedding.embedders.hashing import HashingEmbedder
from pipeline.embedding.environment import EmbeddingEnvironment
from pipeline.merchants.resolution import MerchantResolver
from pipeline.merchants.spelling import merchant_key
from upload_images.export import export_receipt

PATH_VARIABLE = "RECEIPTS_SROIE_PATH"
OBJECTS_BYTES_A_SECOND = 1e9
"""Of the slow S3, which is not used here."""
BATCH = 50
FIRST_LINES = 8
"""Lines of a receipt in which its merchant's name is looked for, to tell what is misprinted."""
WANTED_PRECISION, WANTED_RECALL = 0.99, 0.90


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A wrong answer, for a person to look at.

    Attributes:
        is_findable: whether the company was learned.
        is_misprinted: whether the receipt's first lines hold the answer's name and not the company's.
    """

    company: str
    answer: str
    is_findable: bool
    is_misprinted: bool


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came out of one pair of halves.

    Attributes:
        right: receipts that got their own merchant.
        findable: asked receipts whose company was learned.
        wrong: those that got another.
        missed: companies of findable receipts that got none.
    """

    right: int
    findable: int
    wrong: tuple[Wrong, ...]
    missed: tuple[str, ...]

    @property
    def findable_answers(self) -> int:
        """Findable receipts that got a merchant."""
        return self.right + sum(wrong.is_findable for wrong in self.wrong)

    @property
    def answers(self) -> int:
        """Receipts that got a merchant."""
        return self.right + len(self.wrong)

    @property
    def precision(self) -> float:
        """Right answers by the answers for findable receipts."""
        return self.right / max(1, self.findable_answers)

    @property
    def recall(self) -> float:
        """Right answers by the findable receipts."""
        return self.right / max(1, self.findable)


class Stages:
    """Stage 2 and the merge of lines, on a bucket and a table of their own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.snapshots = SnapshotSource.from_directory(
            "lines", collections_directory=world.root, private_directory=world.directory / "private"
        )
        self.core = EmbeddingCore(
            environment=EmbeddingEnvironment(
                table_name=world.name,
                artifacts_bucket=world.name,
                vectors_bucket=world.name,
                embed_dead_letter_queue_url="unused",
                embedder="hashing",
                embedding_model=HashingEmbedder.model,
                embedding_dimensions=world.dimensions,
                delta_precision="float32",
            ),
            consumer="lambda",
            objects=world.objects,
            runs=world.runs,
            # Only a message that can never succeed would be sent there, and then the benchmark fails anyway.
            sqs_client=world.s3,
            embedder=HashingEmbedder(world.dimensions),
            merchants=MerchantResolver(snapshots=self.snapshots),
        )

    def embed(self, documents: Sequence[OcrDocument]) -> list[CompactionRun]:
        """Embed receipts as stage 2 does; give their runs, in the same order."""
        references = []
        for start in range(0, len(documents), BATCH):
            incoming = []
            for document in documents[start : start + BATCH]:
                export = export_receipt(
                    document,
                    document.receipts[0],
                    bucket=self.world.name,
                    embedding_model=self.core.embedder.model,
                    dimensions=self.core.embedder.dimensions,
                )
                for artifact in export.artifacts:
                    self.world.objects.put_if_absent(
                        self.world.name, artifact.key, artifact.content, "application/x-ndjson"
                    )
                message = export.message
                references.append(
                    RunReference(image_id=message.image_id, receipt_id=message.receipt_id, run_id=message.run_id)
                )
                incoming.append(
                    IncomingMessage(
                        message_id=message.run_id,
                        body=message.model_dump_json(exclude_none=True),
                        group_id=message.group_id,
                    )
                )
            for outcome in self.core.process(incoming):
                if outcome.error is not None:
                    raise outcome.error
        runs = self.world.runs.find_all(references)
        if len(runs) != len(documents):
            raise RuntimeError(f"{len(documents)} receipts were embedded, {len(runs)} runs are recorded")
        return runs

    def publish(self, runs: Sequence[CompactionRun]) -> None:
        """Merge the lines of runs and publish them."""
        merger = CollectionMerger(
            collection="lines",
            environment=self.world.environment().model_copy(update={"embedding_model": self.core.embedder.model}),
            objects=self.world.objects,
            runs=self.world.runs,
            dynamodb=self.world.dynamodb,
        )
        try:
            merger.merge(run.reference for run in runs)
        finally:
            merger.close()


def measure(world: World, learned: Sequence[OcrDocument], asked: Sequence[OcrDocument]) -> Result:
    """Publish ``learned`` with its merchants, resolve each of ``asked`` without.

    Args:
        world: where nothing is published yet.
        learned: OCR results of one receipt each, with its merchant's name.
        asked: the same; their names are only compared with the answers.
    """
    stages = Stages(world)
    stages.publish(stages.embed(learned))
    runs = stages.embed([_without_merchant(document) for document in asked])
    stages.snapshots.close()
    known = {merchant_key(_company(document)) for document in learned}
    right = findable = 0
    wrong: list[Wrong] = []
    missed: list[str] = []
    for document, run in zip(asked, runs, strict=True):
        company = _company(document)
        if run.merchant_source == "failed":
            raise RuntimeError(f"the merchant of run {run.run_id} was not resolved: {run.merchant_error}")
        findable += merchant_key(company) in known
        if run.merchant_name is None:
            missed += [company] if merchant_key(company) in known else []
        elif merchant_key(run.merchant_name) == merchant_key(company):
            right += 1
        else:
            wrong.append(
                Wrong(
                    company=company,
                    answer=run.merchant_name,
                    is_findable=merchant_key(company) in known,
                    is_misprinted=_is_printed(run.merchant_name, document) and not _is_printed(company, document),
                )
            )
    return Result(right=right, findable=findable, wrong=tuple(wrong), missed=tuple(missed))


def _is_printed(name: str, document: OcrDocument) -> bool:
    """Whether the first lines hold ``name`` letter by letter, over however many lines."""
    lines = document.receipts[0].lines[:FIRST_LINES]
    return merchant_key(name) in merchant_key("".join(line.text for line in lines))


def _company(document: OcrDocument) -> str:
    return document.receipts[0].merchant_name or ""


def _without_merchant(document: OcrDocument) -> OcrDocument:
    return document.model_copy(update={"receipts": (document.receipts[0].model_copy(update={"merchant_name": None}),)})


def _print(name: str, result: Result, *, in_detail: bool) -> None:
    misprinted = sum(wrong.is_misprinted for wrong in result.wrong)
    print(
        f"{name}: precision {result.precision:.3f} ({result.right} of {result.findable_answers}), "
        f"recall {result.recall:.3f} ({result.right} of {result.findable}); "
        f"of all {result.right / max(1, result.answers):.3f} ({result.right} of {result.answers}), "
        f"{misprinted} of {len(result.wrong)} wrong ones misprinted in the key"
    )
    if in_detail:
        for wrong in result.wrong:
            kind = "misprinted" if wrong.is_misprinted else "findable" if wrong.is_findable else "not learned"
            print(f"    wrong: {wrong.answer!r} for {wrong.company!r} ({kind})")
        for company in result.missed:
            print(f"    missed: {company!r}")


def main() -> int:
    """Print precision and recall of each pair of halves; 1 when those of the file's halves are less than wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, nargs="?", default=os.environ.get(PATH_VARIABLE))
    parser.add_argument("--dimensions", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=5, help="pairs of random halves")
    parser.add_argument("--details", action="store_true", help="also what was wrong and what was missed")
    arguments = parser.parse_args()
    if arguments.path is None:
        parser.error(f"give the path of the receipts, or set {PATH_VARIABLE}")
    documents = list(read_sroie(Path(arguments.path), with_merchant=True))
    middle = len(documents) // 2
    with TemporaryDirectory() as directory, Services(Path(directory), OBJECTS_BYTES_A_SECOND) as services:

        def half(name: str, order: Sequence[OcrDocument]) -> Result:
            world = World(
                directory=Path(directory) / name,
                name=name,
                dynamodb_endpoint=services.dynamodb,
                s3_endpoint=services.s3,
                dimensions=arguments.dimensions,
            ).create()
            result = measure(world, order[:middle], order[middle:])
            _print(name, result, in_detail=arguments.details)
            return result

        halves = half("file", documents)
        for seed in range(arguments.seeds):
            # A split, not a secret.
            half(f"seed-{seed}", random.Random(seed).sample(documents, len(documents)))  # noqa: S311
    return 0 if halves.precision >= WANTED_PRECISION and halves.recall >= WANTED_RECALL else 1


if __name__ == "__main__":
    raise SystemExit(main())
