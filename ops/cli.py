"""The ``receipts`` command: arguments in, one function called, its result shown. What it does is in its neighbours.

A command imports what it does when it is called: ``--help`` and a mistyped option are answered without Pulumi, AWS's
clients and Chroma, which take a second to import.
"""

import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops import LOCAL_STACK_NAME
from upload_images.formats import Format

if TYPE_CHECKING:
    from ops.console import Output
    from ops.switching.stacks import SwitchableStack
    from ops.target import Target
    from ops.uploading import UploadedDocument
    from pipeline.contracts.messages import RunReference

application = typer.Typer(
    no_args_is_help=True, help="One queue, two possible consumers.", pretty_exceptions_enable=False
)
local_application = typer.Typer(no_args_is_help=True, help="The stack on this machine.")
application.add_typer(local_application, name="local")

LARGEST_INTEGER = 2**63 - 1
"""Of a receipt's number, as ``pipeline/contracts/limits.py`` has it."""
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


class Person(StrEnum):
    """Who needs rights: to deploy and switch, or to use the other commands."""

    DEPLOYER = "deployer"
    OPERATOR = "operator"


AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document to standard output.")]
StackName = Annotated[str, typer.Option("--stack", help="The Pulumi stack; `local` is the one on this machine.")]
Wait = Annotated[bool, typer.Option(help="Wait until it is searchable.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait.")]
ImageId = Annotated[str, typer.Argument(help="The image's id, or the beginning of it that no other image has.")]
ReceiptId = Annotated[int, typer.Argument(help="The receipt's number in the image.", min=1, max=LARGEST_INTEGER)]


class Collection(StrEnum):
    """The two collections."""

    LINES = "lines"
    WORDS = "words"


class Mode(StrEnum):
    """What a search compares."""

    HYBRID = "hybrid"
    VECTOR = "vector"
    TEXT = "text"


class Consumer(StrEnum):
    """The values of receipts:embedConsumer."""

    LAMBDA = "lambda"
    ECS = "ecs"
    HYBRID = "hybrid"
    NONE = "none"


def connect(stack_name: str) -> "Target":
    """The stack of that name; what ``ops.target`` raises."""
    from ops import target

    return target.connect(stack_name)


def switchable(stack_name: str) -> "SwitchableStack":
    """The stack of that name, to be switched; what ``ops.switching.stacks`` raises."""
    from ops.switching import stacks

    return stacks.switchable(stack_name)


class Engine(StrEnum):
    """What can make the stack on this machine."""

    IN_PROCESS = "in-process"
    PULUMI = "pulumi"


@local_application.command("up")
def local_up(
    consumer: Annotated[Consumer | None, typer.Option(help="Overrides receipts:embedConsumer.")] = None,
    engine: Annotated[
        Engine | None,
        typer.Option(help="Who makes it: this process (the default), or the real Pulumi CLI. Kept with the state."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the stack up, or update the running one, and print what changed."""
    from ops.console import Output
    from ops.local.stack import LocalStack

    output = Output(as_json=as_json)
    stack = LocalStack()
    result = stack.up(
        {} if consumer is None else {"embedConsumer": consumer.value}, engine=None if engine is None else engine.value
    )
    output.steps(result.steps)
    output.say(f"{len(result.changes)} resources changed, {result.unchanged} unchanged; the stack is up")
    output.document(
        {
            "changes": [
                {"operation": step.operation, "type": step.type, "name": step.name, "summary": step.summary}
                for step in result.changes
            ],
            "outputs": dict(result.outputs),
        }
    )


@local_application.command("down")
def local_down(
    destroy: Annotated[bool, typer.Option("--destroy", help="Remove the state as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop the stack; its state is kept for the next `up` unless --destroy is given."""
    from ops.console import Output
    from ops.local.stack import LocalStack

    output = Output(as_json=as_json)
    LocalStack().down(destroy=destroy)
    output.say("the stack is destroyed" if destroy else "the stack is stopped; its state is kept")
    output.document({"destroyed": destroy})


@local_application.command("status")
def local_status(as_json: AsJson = False) -> None:
    """The processes of the stack on this machine."""
    from ops.console import Output
    from ops.local.stack import LocalStack

    output = Output(as_json=as_json)
    status = LocalStack().status()
    for name, value in status.items():
        output.say(f"{name}: {value}")
    output.document(status)


@application.command("demo")
def demo(as_json: AsJson = False) -> None:
    """The whole thread on this machine: up, upload, search, switch the consumer, upload, status, down."""
    from ops.console import Output
    from ops.demo import run_demo
    from ops.local.stack import DEFAULT_STATE_DIRECTORY

    output = Output(as_json=as_json)
    output.document(run_demo(output, DEFAULT_STATE_DIRECTORY.parent / "demo"))


@application.command("upload")
def upload_files(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="OCR results of this project, Textract, Tesseract (TSV, hOCR), ALTO or Google Vision; SROIE receipts "
            "(.jsonl); or folders of such.",
            exists=True,
        ),
    ],
    as_format: Annotated[
        Format | None, typer.Option("--format", help="What the files are. Without it their content tells.")
    ] = None,
    wait: Wait = True,
    timeout: Timeout = 600.0,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Upload OCR results. A bad file or receipt is named and left out; the others go through; the exit code is 1."""
    from ops.console import Output, as_documents
    from ops.importers import Taken, read_documents
    from ops.uploading import require_complete, upload, wait_until_searchable
    from pipeline.errors import PipelineError

    output = Output(as_json=as_json)
    target = connect(stack)
    uploaded: list[UploadedDocument] = []
    refused: list[str] = []
    documents: list[tuple[str, bytes]] = []
    converted: list[object] = []

    def refuse(error: PipelineError) -> None:
        refused.append(str(error))
        complain(error)

    def tell(taken: Taken) -> None:
        converted.append(asdict(taken))
        left_out = "".join(f"; left out: {count} {what}" for what, count in taken.dropped.items())
        output.say(f"{taken.file}: read as {taken.format}, {taken.images} images{left_out}")
        for remark in taken.remarks:
            output.say(f"{taken.file}: {remark}")

    for path in files:
        documents += read_documents(path, refuse, as_format=as_format, on_taken=tell)
    with output.progress("uploading", len(documents)) as bar:
        for done, (name, content) in enumerate(documents, 1):
            uploaded.append(upload(target, name, content))
            for error in uploaded[-1].refused:
                refuse(error)
            bar.set(done)
    result = None
    if wait:
        with output.progress("searchable", sum(len(document.runs) for document in uploaded)) as bar:
            result = wait_until_searchable(target, uploaded, timeout_seconds=timeout, on_progress=bar.set)
    output.document(
        {
            "converted": converted,
            "uploaded": [document.key for document in uploaded],
            "refused": refused,
            "searchable": None if result is None else as_documents(result.completed),
            "failed": None if result is None else as_documents(result.failed),
            "missing": None if result is None else as_documents(result.missing),
        }
    )
    output.say(f"{len(uploaded)} uploaded, {len(refused)} refused")
    if result is not None:
        require_complete(result)
    if refused:
        raise typer.Exit(EXIT_FAILED)


@application.command("search")
def search_text(
    text: str,
    collection: Annotated[Collection, typer.Option(help="Which collection.")] = Collection.LINES,
    mode: Annotated[
        Mode, typer.Option(help="Compare vectors, letters, or both. `text` needs no embedder and tells no distances.")
    ] = Mode.HYBRID,
    merchant: Annotated[
        str | None, typer.Option(help="Only this merchant's receipts; case and punctuation do not matter.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="Only images whose id is this or begins so.")] = None,
    receipt: Annotated[
        int | None, typer.Option(help="Only receipts with this number in their image.", min=1, max=LARGEST_INTEGER)
    ] = None,
    maximum_distance: Annotated[
        float | None, typer.Option("--max-distance", help="Leave out what is farther away, 0 to 2.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 10,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Search a published collection for lines or words like TEXT, the best first."""
    from ops.console import Output
    from ops.searching import search

    output = Output(as_json=as_json)
    result = search(
        connect(stack),
        text,
        collection=collection.value,
        limit=limit,
        mode=mode.value,
        merchant=merchant,
        image=image,
        receipt=receipt,
        maximum_distance=maximum_distance,
    )
    output.search_result(text, result)
    output.document(asdict(result))


@application.command("show")
def show_receipt(
    image: ImageId,
    receipt: ReceiptId,
    words: Annotated[bool, typer.Option("--words", help="Its words as well.")] = False,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Show a receipt: its published lines, its merchant and where that came from, its runs and their states."""
    from ops.choosing import whole_image
    from ops.console import Output
    from ops.showing import show
    from pipeline.collections.receipts import ReceiptKey

    output = Output(as_json=as_json)
    target = connect(stack)
    details = show(target, ReceiptKey(whole_image(target, image), receipt), words=words)
    output.receipt(details)
    output.document(details)


@application.command("export")
def export_collection(
    directory: Annotated[Path, typer.Option("--output", help="A new or an empty directory.")],
    collection: Annotated[Collection, typer.Option(help="Which collection.")] = Collection.LINES,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Write a published version's rows, texts and vectors in plain formats: JSON lines and npy."""
    from ops.console import Output
    from ops.exporting import export

    output = Output(as_json=as_json)
    target = connect(stack)
    with output.progress("rows, texts and vectors", 0) as bar:
        description = export(target, collection.value, directory, bar.set)
    output.document({"directory": str(directory), **description})
    output.say(
        f"{description['rows']} rows and {description['texts']} texts of {collection.value}, version "
        f"{description['version']}, are in {directory}"
    )


@application.command("rebuild")
def rebuild_collection(
    collection: Annotated[Collection, typer.Option(help="Which collection.")],
    from_deltas: Annotated[
        bool, typer.Option("--from-deltas", help="From the deltas of all runs instead of the current version.")
    ] = False,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Build a collection again and publish it: index and letters, or with --from-deltas everything."""
    from ops.console import Output
    from ops.rebuilding import rebuild

    output = Output(as_json=as_json)
    with output.progress(f"rebuilding {collection.value}", 0):
        rebuilt = rebuild(connect(stack), collection.value, from_deltas=from_deltas)
    output.document({"collection": collection.value, **asdict(rebuilt)})
    output.say(f"version {rebuilt.version} of {collection.value} has {rebuilt.rows} rows and {rebuilt.texts} texts")


@application.command("resolve")
def resolve_merchants(stack: StackName = LOCAL_STACK_NAME, as_json: AsJson = False) -> None:
    """Resolve the merchants of receipts that came before their merchant was known, as the tick does every minute."""
    from ops.console import Output
    from ops.resolving import resolve

    output = Output(as_json=as_json)
    resolved = resolve(connect(stack))
    output.document(asdict(resolved))
    output.say(
        f"{resolved.recorded} of {resolved.asked} receipts without a merchant got one; the next publications show it"
    )


@application.command("remove")
def remove_receipt(
    image: ImageId,
    receipt: ReceiptId,
    timeout: Timeout = 600.0,
    wait: Wait = True,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Remove a receipt's lines and words from both collections."""
    from ops.choosing import whole_image
    from ops.console import Output
    from ops.operations import remove
    from pipeline.collections.receipts import ReceiptKey

    target = connect(stack)
    reference = remove(target, ReceiptKey(whole_image(target, image), receipt))
    _follow(Output(as_json=as_json), target, reference, "removing", timeout if wait else None)


@application.command("correct")
def correct_receipt(
    image: ImageId,
    receipt: ReceiptId,
    merchant: Annotated[str, typer.Option(help="Who the merchant is.")],
    timeout: Timeout = 600.0,
    wait: Wait = True,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Correct a receipt's merchant, on every line and word of it."""
    from ops.choosing import whole_image
    from ops.console import Output
    from ops.operations import correct
    from pipeline.collections.receipts import ReceiptKey

    target = connect(stack)
    reference = correct(target, ReceiptKey(whole_image(target, image), receipt), merchant)
    _follow(Output(as_json=as_json), target, reference, "correcting", timeout if wait else None)


def _follow(
    output: "Output", target: "Target", reference: "RunReference", description: str, timeout: float | None
) -> None:
    """Wait until an operation is visible, unless ``timeout`` is None."""
    from ops.console import as_documents
    from ops.uploading import require_complete, require_effect, wait_for_runs

    result = None
    if timeout is not None:
        with output.progress(description, 1) as bar:
            result = wait_for_runs(target, [reference], timeout_seconds=timeout, on_progress=bar.set)
    completed = None if result is None else as_documents(result.completed)
    output.document({"run": reference.model_dump(mode="json"), "completed": completed})
    output.say(f"run {reference.run_id} is {'recorded' if result is None else 'published'}")
    if result is not None:
        require_complete(result)
        require_effect(result)


@application.command("reconcile")
def reconcile_collections(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended, then look again.")] = False,
    timeout: Timeout = 600.0,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Hold runs, deltas and vectors against each other; exit code 1 while anything is missing, surplus or stale."""
    from ops.console import Output
    from ops.reconciling.procedure import run_reconcile

    output = Output(as_json=as_json)
    document = run_reconcile(output, connect(stack), mend=repair, timeout_seconds=timeout)
    output.document(document)
    if document["findings"]:
        raise typer.Exit(EXIT_FAILED)


@application.command("audit")
def audit_consumers(stack: StackName = LOCAL_STACK_NAME, as_json: AsJson = False) -> None:
    """Every live consumer of every queue; exit code 1 when one queue has two, or none where one should be."""
    from ops.auditing import MEANINGS, as_document, audit
    from ops.console import Output

    output = Output(as_json=as_json)
    target = connect(stack)
    audited = audit(target)
    output.audit(audited)
    output.document(as_document(audited))
    findings = [
        f"{item.finding}: queue {item.expected.label}. {MEANINGS[item.finding]}" for item in audited if item.finding
    ]
    for finding in findings:
        complain(finding)
    _tell_unfinished(target)
    if findings:
        raise typer.Exit(EXIT_FAILED)


@application.command("dead-letters")
def list_dead_letters(stack: StackName = LOCAL_STACK_NAME, as_json: AsJson = False) -> None:
    """Every dead letter and why it is one; nothing is taken away."""
    from ops.console import Output
    from ops.dead_letters import dead_letters

    output = Output(as_json=as_json)
    found = dead_letters(connect(stack))
    for letter in found:
        output.say(f"{letter['queue']}, message {letter['message_id']}: {letter['reason']}")
    if not found:
        output.say("no dead letters")
    output.document(found)


@application.command("preflight")
def preflight(
    stack: Annotated[str, typer.Option("--stack", help="The Pulumi stack, on AWS, made or not yet made.")] = "dev",
    policy: Annotated[
        Person | None, typer.Option("--policy", help="Write this person's IAM policy and ask nothing.")
    ] = None,
    account: Annotated[str, typer.Option(help="The account's number, for --policy.")] = "ACCOUNT",
    as_json: AsJson = False,
) -> None:
    """What the account would refuse of an update, before it begins; exit code 1 when it would refuse something."""
    from ops.console import Output
    from ops.preflight.procedure import declared, policy_of, run_preflight

    output = Output(as_json=as_json or policy is not None)
    wanted = declared(stack)
    if policy is not None:
        output.document(policy_of(wanted, policy.value, account))
        return
    document = run_preflight(output, wanted, wanted.access.client)
    output.document(document)
    if document["refused"]:
        raise typer.Exit(EXIT_FAILED)


@application.command("switch")
def switch(
    consumer: Consumer,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell the plan and change nothing.")] = False,
    auto_rollback: Annotated[bool, typer.Option("--auto-rollback", help="Go back by itself when it fails.")] = False,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds for the checks. [default: what the consumer may need]", min=0)
    ] = None,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Switch the embed queue's consumer: preflight, plan, update, six checks, and the way back when one fails."""
    from ops.console import Output
    from ops.switching.procedure import SwitchOptions, run_switch

    output = Output(as_json=as_json)

    def roll_back(failure: str) -> bool:
        del failure
        return auto_rollback or (sys.stdin.isatty() and not as_json and typer.confirm("Roll back?"))

    options = SwitchOptions(dry_run=dry_run, roll_back=roll_back, timeout_seconds=timeout)
    result = run_switch(output, switchable(stack), consumer.value, options)
    ended = {"succeeded": result.succeeded, "rolled_back": result.rolled_back, "interrupted": result.interrupted}
    output.document({**result.document, **ended})
    if result.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if not result.succeeded:
        raise typer.Exit(EXIT_FAILED)


@application.command("status")
def status(stack: StackName = LOCAL_STACK_NAME, as_json: AsJson = False) -> None:
    """Queues, runs, the consumer that is on, and the published versions."""
    from ops.console import Output
    from ops.reporting import stack_status

    output = Output(as_json=as_json)
    target = connect(stack)
    report = stack_status(target)
    output.status(report)
    output.document(report)
    _tell_unfinished(target)


def _tell_unfinished(target: "Target") -> None:
    """Say that an update has not ended, and which command ends it."""
    from ops.errors import OperatorError

    if target.unfinished is not None:
        unfinished = OperatorError(
            "UPDATE_UNFINISHED",
            f"an update to embedConsumer {target.unfinished!r} has begun and not ended well",
            f"wait while somebody makes it; otherwise receipts switch {target.unfinished} goes on",
        )
        complain(str(unfinished))


def complain(error: Exception | str) -> None:
    """Write an error to standard error; what it quotes from data cannot act on the terminal."""
    from ops.errors import OperatorError
    from ops.visible import visible, visible_lines
    from pipeline.errors import PipelineError

    # Those of the pipeline and of an operator are one line, so a break in them is from data.
    has_lines = not isinstance(error, PipelineError | OperatorError | str)
    typer.secho(visible_lines(str(error)) if has_lines else visible(str(error)), fg=typer.colors.RED, err=True)


def main() -> None:
    """The console script: errors of the operator are one line and exit code 1, a bug is a traceback."""
    try:
        application()
    except SystemExit as end:
        # Typer ends so, without a word, after Ctrl-C.
        if end.code == EXIT_INTERRUPTED:
            typer.echo("interrupted; `receipts status` says what is half done, if anything is", err=True)
        raise
    except Exception as error:
        from ops.failures import SPEAKING

        if not isinstance(error, SPEAKING):
            raise
        complain(error)
        sys.exit(EXIT_FAILED)
