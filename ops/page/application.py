"""The page's routes: each reads the stack and answers. Nothing here changes anything.

Reading the stack blocks, so Starlette runs these functions in threads; the published files are read by one at a time.
"""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, get_args

from botocore.exceptions import BotoCoreError, ClientError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ops.choosing import whole_image
from ops.drawing.picture import jpeg, shown_part
from ops.drawing.receipt import Drawing, drawing_of
from ops.drawing.sheet import Place
from ops.errors import OperatorError
from ops.failures import may_pass
from ops.page.found import cards_of
from ops.page.guard import Guard
from ops.page.rendering import FOLDER, Renderer, values_of
from ops.page.way import objects_of, way_of
from ops.searching import search
from ops.showing import ReceiptDetails, show
from ops.target import Target
from ops.watching.snapshot import Snapshot, as_document
from pipeline.collections.receipts import ReceiptKey
from pipeline.collections.search import SearchMode
from pipeline.contracts.identifiers import COLLECTIONS, CollectionName
from pipeline.errors import PipelineError

LOOK_SECONDS = 1.0
LONGEST_QUERY = 1_000
MATCHES = 20
NOT_FOUND = frozenset({"RECEIPT_UNKNOWN", "IMAGE_UNKNOWN", "NOTHING_PUBLISHED"})
LARGEST_INTEGER = 2**63 - 1
NO_STORE = {"Cache-Control": "no-store"}


@dataclass(kw_only=True)
class Feed:
    """The latest snapshot, shared by all who look: the stack is asked once a second, however many pages are open."""

    look: Callable[[], Snapshot]
    _seen: Snapshot | None = None
    _at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def latest(self) -> Snapshot:
        """A snapshot that is at most a second old; raises what looking raises."""
        with self._lock:
            if self._seen is None or time.monotonic() - self._at >= LOOK_SECONDS:
                self._seen = self.look()
                self._at = time.monotonic()
            return self._seen


class Page:
    """Answers for one stack.

    Args:
        feed: of its snapshots.
        target: connects to it, as it is now.
    """

    def __init__(self, feed: Feed, target: Callable[[], Target]) -> None:
        self._feed, self._target = feed, target
        self._renderer = Renderer()
        self._reading = threading.Lock()

    def overview(self, request: Request) -> Response:
        """The first page."""
        del request
        return self._html("overview.html", **values_of(self._feed.latest()))

    def snapshot(self, request: Request) -> Response:
        """The same for programs."""
        del request
        return JSONResponse(as_document(self._feed.latest()), headers=NO_STORE)

    async def events(self, request: Request) -> Response:
        """What changes of the first page, as server-sent events: a JSON object of element ids and their HTML."""
        del request
        return StreamingResponse(self._changes(), media_type="text/event-stream", headers=NO_STORE)

    async def _changes(self) -> AsyncIterator[str]:
        sent: dict[str, str] = {}
        while True:
            try:
                parts = self._renderer.parts(await run_in_threadpool(self._feed.latest))
            except Exception as error:
                if may_pass(error):
                    yield _event("trouble", {"message": f"could not look just now: {error}"})
                elif isinstance(error, OperatorError):
                    yield _event("ended", {"message": str(error)})
                    return
                else:
                    raise
            else:
                changed = {name: html for name, html in parts.items() if sent.get(name) != html}
                sent = parts
                yield _event("parts", changed)
            await asyncio.sleep(LOOK_SECONDS)

    def found(self, request: Request) -> Response:
        """A search."""
        asked = request.query_params.get("q", "")[:LONGEST_QUERY]
        collection: CollectionName = _one_of(request.query_params.get("collection"), get_args(CollectionName))
        mode: SearchMode = _one_of(request.query_params.get("mode"), get_args(SearchMode))
        values: dict[str, Any] = {"asked": asked, "collection": collection, "mode": mode}
        values |= {
            "collections": COLLECTIONS,
            "modes": get_args(SearchMode),
            "result": None,
            "cards": (),
            "error": None,
        }
        if asked.strip():
            try:
                with self._reading:
                    target = self._target()
                    result = search(target, asked, collection=collection, mode=mode, limit=MATCHES)
                    values |= {"result": result, "cards": cards_of(target, result)}
            except OperatorError as error:
                values["error"] = error
        return self._html("search.html", **values)

    def receipt(self, request: Request) -> Response:
        """One receipt: its drawing, its way, its rows."""
        key, hit = _receipt_of(request), _hit_of(request)
        with self._reading:
            target, details = self._details(key)
            drawing = self._drawing(target, details, hit)
        way = way_of(details, objects_of(target, details["image_id"], details["receipt_id"]))
        return self._html("receipt.html", details=details, drawing=drawing, hit=hit, way=way)

    def photo(self, request: Request) -> Response:
        """The part of the uploaded picture that a receipt's drawing lies on."""
        with self._reading:
            target, details = self._details(_receipt_of(request))
            drawing = self._drawing(target, details, None)
        if drawing is None or drawing.photo is None:
            raise HTTPException(404)
        return Response(jpeg(shown_part(drawing.sheet, drawing.photo)), media_type="image/jpeg", headers=NO_STORE)

    def refused(self, request: Request, error: Exception) -> Response:
        """An operator's error as a page."""
        del request
        known = (
            error if isinstance(error, OperatorError) else OperatorError("STACK_UNREADABLE", str(error), "try again")
        )
        return self._html("error.html", status=404 if known.code in NOT_FOUND else 400, error=known)

    def _details(self, key: ReceiptKey) -> tuple[Target, ReceiptDetails]:
        target = self._target()
        key = ReceiptKey(whole_image(target, key.image_id), key.receipt_id)
        return target, show(target, key, words=True)

    def _drawing(self, target: Target, details: ReceiptDetails, hit: Place | None) -> Drawing | None:
        return drawing_of(target, details, [] if hit is None else [hit]) if details["lines"] else None

    def _html(self, template: str, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(self._renderer.page(template, **values), status, headers=NO_STORE)


def build_application(feed: Feed, target: Callable[[], Target], *, port: int) -> Starlette:
    """The page as an ASGI application.

    Args:
        feed: of the stack's snapshots.
        target: connects to the stack; called for every page, because the stack may have been updated.
        port: that the server listens on, which a request must name.
    """
    page = Page(feed, target)
    routes = [
        Route("/", page.overview),
        Route("/snapshot.json", page.snapshot),
        Route("/events", page.events),
        Route("/search", page.found),
        Route("/receipts/{image}/{receipt}", page.receipt),
        Route("/receipts/{image}/{receipt}/photo.jpg", page.photo),
        Mount("/static", StaticFiles(directory=FOLDER / "static")),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, port=port)],
        exception_handlers=dict.fromkeys((OperatorError, ClientError, BotoCoreError, PipelineError), page.refused),
    )


def _event(name: str, value: object) -> str:
    """One server-sent event; JSON has no line breaks of its own (HTML standard, server-sent events)."""
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"


def _one_of(text: str | None, choices: tuple[Any, ...]) -> Any:
    """The choice that a query names, else the first."""
    return text if text in choices else choices[0]


def _receipt_of(request: Request) -> ReceiptKey:
    digits = request.path_params["receipt"]
    # Python refuses to convert some thousand digits.
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= len(str(LARGEST_INTEGER))
    if not (is_number and 1 <= int(digits) <= LARGEST_INTEGER):
        raise HTTPException(404)
    return ReceiptKey(request.path_params["image"], int(digits))


def _hit_of(request: Request) -> Place | None:
    """The line or word that a link from a search marks; what is no number marks nothing."""
    line, word = (request.query_params.get(name, "0") for name in ("line", "word"))
    if not (line.isascii() and line.isdigit() and word.isascii() and word.isdigit()):
        return None
    return Place(int(line[:20]), int(word[:20])) if int(line[:20]) else None
