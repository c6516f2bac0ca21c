"""The commands that bring documents in, change and take them out: demo, upload, send, remove, correct."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops import LOCAL_STACK_NAME
from ops.commands import options
from ops.commands.options import EXIT_FAILED, AsJson, ImageId, ReceiptId, StackName, Timeout, Wait, complain
from upload_images.formats import Format

if TYPE_CHECKING:
    from ops.console import Output
    from ops.pictures import UploadedPicture
    from ops.submitting import UploadedDocument
    from ops.target import Target
    from pipeline.contracts.messages import RunReference

application = typer.Typer()


@application.command("demo")
def demo(as_json: AsJson = False) -> None:
    """The whole thread on this machine: up, upload, search, switch the consumer, upload, status, down."""
    from ops.console import Output
    from ops.demo import run_demo
    from ops.local.stack import DEFAULT_STATE_DIRECTORY

    output = Output(as_json=as_json, goes_on=True)
    output.document(run_demo(output, DEFAULT_STATE_DIRECTORY.parent / "demo"))


@application.command("upload")
def upload_files(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Pictures (JPEG, PNG, TIFF, PDF, HEIC), where the stack reads them; OCR results of this project, "
            "Textract, Tesseract (TSV, hOCR), ALTO or Google Vision; SROIE receipts (.jsonl); folders of such; or `-` "
            "for an OCR result that comes through a pipe.",
        ),
    ],
    as_format: Annotated[
        Format | None, typer.Option("--format", help="What the files are.", show_default="decided by their content")
    ] = None,
    wait: Wait = True,
    timeout: Timeout = 600.0,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Upload pictures and OCR results. A bad one is named and left out, the others go through, the exit code is 1."""
    from ops.console import Output, as_documents
    from ops.importers import Taken, read_documents
    from ops.pictures import reads_pictures, upload_picture
    from ops.submitting import without_repetitions
    from ops.waiting import require_complete, wait_until_searchable
    from upload_images.pictures.kinds import first_image_id

    output = Output(as_json=as_json, goes_on=True)
    target = options.connect(stack)
    refused: list[str] = []
    documents: list[tuple[str, bytes]] = []
    converted: list[object] = []
    pictures: list[UploadedPicture] = []
    read: list[object] = []

    def refuse(error: Exception) -> None:
        refused.append(str(error))
        complain(error)

    def tell(taken: Taken) -> None:
        converted.append(asdict(taken))
        left_out = "".join(f"; left out: {count} {what}" for what, count in taken.dropped.items())
        output.say(f"{taken.file}: read as {taken.format}, {taken.images} images{left_out}")
        for remark in taken.remarks:
            output.say(f"{taken.file}: {remark}")

    def take_picture(name: str, content: bytes) -> None:
        identifier = first_image_id(content)
        same = next((other.name for other in pictures if other.image_id == identifier), None)
        if same is None:
            pictures.append(upload_picture(target, name, content))
        else:
            output.say(f"{name}: is the same picture as {same}, and is uploaded once")

    on_picture = take_picture if reads_pictures(target) else None
    for path in files:
        documents += read_documents(path, refuse, as_format=as_format, on_taken=tell, on_picture=on_picture)
    documents, repeated, ambiguous = without_repetitions(documents)
    for name, same in repeated:
        output.say(f"{name}: says the same as {same}, and is uploaded once")
    for several in ambiguous:
        refuse(several)
    uploaded = _upload(output, target, documents, refuse)
    if wait and pictures:
        uploaded += _read_pictures(output, target, pictures, timeout, read, refused)
    result = None
    if wait and uploaded:
        with output.progress("searchable", sum(len(document.runs) for document in uploaded)) as bar:
            result = wait_until_searchable(target, uploaded, timeout_seconds=timeout, on_progress=bar.wait)
    # A receipt that is refused alone is no refused file: its document was uploaded without it.
    left_out = sum(len(document.refused) for document in uploaded)
    without = f", without {left_out} of their receipts" if left_out else ""
    output.say(f"{len(uploaded)} uploaded{without}, {len(refused) - left_out} refused")
    document = {
        "converted": converted,
        "pictures": [picture.key for picture in pictures],
        "read": read,
        "uploaded": [document.key for document in uploaded],
        "refused": refused,
        "searchable": None if result is None else as_documents(result.completed),
        "failed": None if result is None else as_documents(result.failed),
        "missing": None if result is None else as_documents(result.missing),
    }
    with _documented(output, document):
        if result is not None:
            require_complete(result)
    if refused:
        raise typer.Exit(EXIT_FAILED)


@application.command("send")
def send_test_receipt(timeout: Timeout = 600.0, stack: StackName = LOCAL_STACK_NAME, as_json: AsJson = False) -> None:
    """Put a test receipt through all stages, print the seconds of each, and remove it again."""
    from ops.console import Output
    from ops.probing import STAGES, send

    output = Output(as_json=as_json, goes_on=True)
    target = options.connect(stack)
    with output.progress("test receipt", len(STAGES)) as bar:
        sent = send(
            target,
            timeout_seconds=timeout,
            on_stage=lambda stage, _: bar.wait(STAGES.index(stage) + 1, len(STAGES), {}),
        )
    before = 0.0
    for stage, seconds in sent.seconds.items():
        output.say(f"  {stage:12}{seconds - before:7.1f} s")
        before = seconds
    output.say(f"searchable after {before:.1f} s; removed again in {sent.removed_seconds:.1f} s")
    output.document(asdict(sent))


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

    target = options.connect(stack)
    reference = remove(target, ReceiptKey(whole_image(target, image), receipt))
    _follow(Output(as_json=as_json, goes_on=True), target, reference, "removing", timeout if wait else None)


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

    target = options.connect(stack)
    reference = correct(target, ReceiptKey(whole_image(target, image), receipt), merchant)
    _follow(Output(as_json=as_json, goes_on=True), target, reference, "correcting", timeout if wait else None)


def _upload(
    output: "Output", target: "Target", documents: list[tuple[str, bytes]], refuse: Callable[[Exception], object]
) -> "list[UploadedDocument]":
    """Upload documents under a progress bar, and say which receipts are left out."""
    from ops.submitting import upload

    uploaded: list[UploadedDocument] = []
    if not documents:
        return uploaded
    with output.progress("uploading", len(documents)) as bar:
        for done, (name, content) in enumerate(documents, 1):
            uploaded.append(upload(target, name, content))
            for error in uploaded[-1].refused:
                refuse(error)
            bar.set(done)
    return uploaded


def _read_pictures(
    output: "Output",
    target: "Target",
    pictures: "list[UploadedPicture]",
    timeout: float,
    read: list[object],
    refused: list[str],
) -> "list[UploadedDocument]":
    """Wait until pictures are read; what became of each is added to ``read``, and to ``refused`` when it was."""
    from ops.pictures import wait_until_read

    uploaded: list[UploadedDocument] = []
    with output.progress("reading", len(pictures)) as bar:
        for picture in wait_until_read(
            target, pictures, timeout_seconds=timeout, on_progress=lambda done: bar.set(done, len(pictures))
        ):
            read.append(picture.outcome.model_dump(mode="json", exclude_none=True))
            uploaded += picture.documents
            for remark in picture.outcome.remarks:
                output.say(f"{picture.picture.name}: {remark}")
            if picture.outcome.error is not None:
                refused.append(picture.outcome.error.reason)
                complain(f"{picture.picture.name}: {picture.outcome.error.reason}")
    return uploaded


@contextmanager
def _documented(output: "Output", document: Mapping[str, object]) -> Iterator[None]:
    """Write a command's document; when what is checked inside does not hold, it has the error as well."""
    from ops.errors import OperatorError
    from ops.failures import described

    try:
        yield
    except OperatorError as error:
        output.document({**document, "error": asdict(described(error))})
        raise
    output.document(document)


def _follow(
    output: "Output", target: "Target", reference: "RunReference", description: str, timeout: float | None
) -> None:
    """Wait until an operation is visible, unless ``timeout`` is None."""
    from ops.console import as_documents
    from ops.waiting import require_complete, require_effect, wait_for_runs

    result = None
    if timeout is not None:
        with output.progress(description, 1) as bar:
            result = wait_for_runs(target, [reference], timeout_seconds=timeout, on_progress=bar.wait)
    completed = None if result is None else as_documents(result.completed)
    with _documented(output, {"run": reference.model_dump(mode="json"), "completed": completed}):
        if result is not None:
            require_complete(result)
            require_effect(result)
    done = "recorded and will be published" if result is None else "published"
    output.say(f"the change is {done}, as run {reference.run_id}")
