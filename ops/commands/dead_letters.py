"""The ``receipts dead-letters`` commands: list, show, retry, discard."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops import LOCAL_STACK_NAME
from ops.commands import completion, options
from ops.commands.options import EXIT_FAILED, AsJson, DeadLetters, StackName, complain

if TYPE_CHECKING:
    from ops.dead_letters.acting import Acted
    from ops.dead_letters.deciding import Selection

application = typer.Typer(no_args_is_help=True, help="Messages that no consumer could handle, on any of the queues.")

Ids = Annotated[
    list[str] | None,
    typer.Argument(help="Message ids, or beginnings that no other dead letter has."),
]
OnQueue = Annotated[DeadLetters | None, typer.Option("--queue", help="Only those of this queue.")]
WithCode = Annotated[
    str | None, typer.Option("--code", help="Only those with this code.", autocompletion=completion.codes)
]
Everything = Annotated[bool, typer.Option("--all", help="All that the other options leave.")]


@application.command("list")
def list_letters(
    queue: OnQueue = None, code: WithCode = None, stack: StackName = LOCAL_STACK_NAME, as_json: AsJson = False
) -> None:
    """Every dead letter: its queue, age, code, receipt and reason; nothing is taken away."""
    from ops.console import Output
    from ops.dead_letters.deciding import QUEUES, chosen
    from ops.dead_letters.describing import as_document
    from ops.dead_letters.looking import look
    from ops.views import show_dead_letters

    output = Output(as_json=as_json)
    selection = _selection(None, queue, code, everything=True)
    looked = look(options.connect(stack), [queue.value] if queue else tuple(QUEUES))
    now = datetime.now(UTC)
    documents = [as_document(letter, now) for letter in chosen(looked.letters, selection)]
    show_dead_letters(output, documents, looked.unseen)
    output.document({"dead_letters": documents, "unseen": looked.unseen})


@application.command("show")
def show_letter(
    message: Annotated[str, typer.Argument(help="The message id, or its beginning.")],
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """One dead letter in full: its reason, its body, and the queue that a retry sends it to."""
    from ops.console import Output
    from ops.dead_letters.deciding import Selection, check, chosen, destination
    from ops.dead_letters.describing import as_document
    from ops.dead_letters.looking import look
    from ops.views import show_dead_letter

    output = Output(as_json=as_json)
    selection = Selection(ids=(message,))
    check(selection)
    target = options.connect(stack)
    (letter,) = chosen(look(target).letters, selection)
    document = {
        **as_document(letter, datetime.now(UTC), whole=True),
        "destination": destination(letter, target.outputs),
    }
    show_dead_letter(output, document)
    output.document(document)


@application.command("retry")
def retry_letters(
    messages: Ids = None,
    queue: OnQueue = None,
    code: WithCode = None,
    everything: Everything = False,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Send dead letters again to the queues that they came from, the oldest first. Mend the cause before that."""
    from ops.console import Output
    from ops.dead_letters.acting import retry

    output = Output(as_json=as_json)
    selection = _selection(messages, queue, code, everything=everything)
    target = options.connect(stack)
    with output.progress("sent again", None) as bar:
        acted = retry(target, selection, bar.set)
    for letter, url in acted.done:
        output.say(f"{letter.message_id}: sent to {str(url).rsplit('/', 1)[-1]}")
    output.say(f"{len(acted.done)} sent again" if acted.done or acted.failed else "no dead letter matches")
    _end(output, {"retried": _moved(acted)}, acted)


@application.command("discard")
def discard_letters(
    messages: Ids = None,
    queue: OnQueue = None,
    code: WithCode = None,
    everything: Everything = False,
    file: Annotated[
        Path | None,
        typer.Option("--output", help="A new file for what is discarded.", show_default="dead-letters-<time>.jsonl"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. Needed where no person can be asked.")] = False,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters, after they were written to a file and you were asked."""
    from ops.console import Output
    from ops.dead_letters.acting import discard, queues_of
    from ops.dead_letters.deciding import chosen
    from ops.dead_letters.describing import as_document
    from ops.dead_letters.looking import look
    from ops.errors import OperatorError
    from ops.views import show_dead_letters

    output = Output(as_json=as_json)
    selection = _selection(messages, queue, code, everything=everything)
    target = options.connect(stack)
    letters = chosen(look(target, queues_of(selection)).letters, selection)
    now = datetime.now(UTC)
    if not letters:
        output.say("no dead letter matches; nothing was discarded")
        output.document({"discarded": [], "file": None, "left": []})
        return
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise OperatorError(
                "NOT_CONFIRMED",
                f"{len(letters)} dead letters would be deleted, and there is no terminal to ask; nothing was deleted",
                "look at them with `receipts dead-letters list`, then add --yes",
            )
        show_dead_letters(output, [as_document(letter, now) for letter in letters], {})
        if not options.confirmed(f"Delete these {len(letters)} dead letters?"):
            raise OperatorError("NOT_CONFIRMED", "nothing was deleted", "answer y, or leave them where they are")
    path = file or Path(f"dead-letters-{now:%Y%m%dT%H%M%SZ}.jsonl")
    with output.progress("discarded", len(letters)) as bar:
        acted = discard(target, letters, path, bar.set)
    output.say(f"{len(acted.done)} discarded; {path} holds all {len(letters)} that were to be")
    _end(output, {"discarded": _moved(acted), "file": str(path)}, acted)


def _selection(
    messages: list[str] | None, queue: DeadLetters | None, code: str | None, *, everything: bool
) -> "Selection":
    """What was asked for, refused before anything is looked at when nothing can match."""
    from ops.dead_letters.deciding import Selection, check

    selection = Selection(
        ids=tuple(messages or ()), queue=queue.value if queue else None, code=code, everything=everything
    )
    check(selection)
    return selection


def _moved(acted: "Acted") -> list[dict[str, Any]]:
    return [
        {"queue": letter.queue, "message_id": letter.message_id} | ({"destination": url} if url else {})
        for letter, url in acted.done
    ]


def _end(output: Any, document: dict[str, Any], acted: "Acted") -> None:
    left = [{"queue": item.queue, "message_id": item.message_id, "reason": why} for item, why in acted.failed]
    output.document({**document, "left": left})
    for item in left:
        complain(f"DEAD_LETTER_LEFT: {item['message_id']} of {item['queue']} is still there: {item['reason']}")
    if left:
        raise typer.Exit(EXIT_FAILED)
