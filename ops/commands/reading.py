"""The commands that read what is published: search, show, export."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops import LOCAL_STACK_NAME
from ops.commands import completion, options
from ops.commands.options import LARGEST_INTEGER, AsJson, Collection, ImageId, Mode, ReceiptId, StackName

if TYPE_CHECKING:
    from ops.showing import ReceiptDetails
    from ops.target import Target

application = typer.Typer()


@application.command("search")
def search_text(
    text: str,
    collection: Annotated[Collection, typer.Option(help="Which collection.")] = Collection.LINES,
    mode: Annotated[
        Mode,
        typer.Option(
            help="Compare vectors, letters, or both. `hybrid` orders by both, so distances do not always rise. "
            "`text` needs no embedder and gives no distances."
        ),
    ] = Mode.HYBRID,
    merchant: Annotated[
        str | None,
        typer.Option(
            help="Only this merchant's receipts; case and punctuation do not matter.",
            autocompletion=completion.merchants,
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(help="Only images whose id is this or begins so.", autocompletion=completion.images),
    ] = None,
    receipt: Annotated[
        int | None, typer.Option(help="Only receipts with this number in their image.", min=1, max=LARGEST_INTEGER)
    ] = None,
    maximum_distance: Annotated[
        float | None,
        typer.Option(
            "--max-distance",
            help="Leave out what is farther away.",
            show_default="leave out coincidences",
            min=0,
            max=2,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 10,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Search a published collection for lines or words like TEXT, the best first."""
    from ops.console import Output
    from ops.searching import search
    from ops.views import show_search_result

    output = Output(as_json=as_json)
    result = search(
        options.connect(stack),
        text,
        collection=collection.value,
        limit=limit,
        mode=mode.value,
        merchant=merchant,
        image=image,
        receipt=receipt,
        maximum_distance=maximum_distance,
    )
    show_search_result(output, text, result)
    output.document(asdict(result))


@application.command("show")
def show_receipt(
    image: ImageId,
    receipt: ReceiptId,
    words: Annotated[bool, typer.Option("--words", help="Its words as well.")] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw it into this PNG file, on its photo where there is one.")
    ] = None,
    mark: Annotated[
        str | None, typer.Option("--mark", help="With --picture: mark the line that is most like this text.")
    ] = None,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Show a receipt: its published lines, its merchant and where that came from, its runs and their states."""
    from ops.choosing import whole_image
    from ops.console import Output
    from ops.showing import show
    from ops.views import show_receipt
    from pipeline.collections.receipts import ReceiptKey

    output = Output(as_json=as_json)
    target = options.connect(stack)
    if mark is not None and picture is None:
        raise typer.BadParameter("it needs --picture", param_hint="--mark")
    details = show(target, ReceiptKey(whole_image(target, image), receipt), words=words)
    drawn = None if picture is None else _draw(target, details, picture, mark)
    show_receipt(output, details)
    if drawn is None:
        output.document(details)
        return
    output.say(f"drawn into {drawn['file']}, {'on its photo' if drawn['on_photo'] else 'from its boxes and texts'}")
    if drawn["remark"]:
        output.say(drawn["remark"])
    output.document({**details, "picture": drawn})


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
    target = options.connect(stack)
    with output.progress("rows, texts and vectors", 0) as bar:
        description = export(target, collection.value, directory, bar.set)
    output.document({"directory": str(directory), **description})
    output.say(
        f"{description['rows']} rows and {description['texts']} texts of {collection.value}, version "
        f"{description['version']}, are in {directory}"
    )


def _draw(target: "Target", details: "ReceiptDetails", file: Path, mark: str | None) -> dict[str, Any]:
    """Write the picture; returns what the command reports about it."""
    from ops.drawing.receipt import best_place, drawing_of, write_picture

    drawing = drawing_of(target, details, [] if mark is None else [best_place(target, details, mark)])
    write_picture(drawing.png(), file)
    return {
        "file": str(file),
        "on_photo": drawing.photo is not None,
        "remark": drawing.remark,
        "marked": [item.text for item in drawing.sheet.marks if item.is_hit],
    }
