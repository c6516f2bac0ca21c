"""The flow as a drawing: boxes and arrows with their places, and which are at work. Pure; a template writes the SVG."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ops.watching.snapshot import HostNow, QueueNow, Snapshot

WIDTH, HEIGHT = 1300, 194
COLUMN, BOX_WIDTH, BOX_HEIGHT = 130, 106, 60
TOP, MIDDLE, BOTTOM, PICTURES = 6, 58, 110, 128
"""Where boxes begin: the upper of two, one alone, the lower of two; those of stage 0 are below the others."""
EMBED_QUEUES = ("embed", "embed-ecs", "embed-lambda")
"""The first, or the other two with ``hybrid``."""
HOST_NAMES = {"lambda": "Lambda", "ecs": "ECS worker"}

NodeKind = Literal["store", "queue", "work"]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One box.

    Attributes:
        state: ``on`` is at work or chosen, ``busy`` has something in it, ``off`` is off, ``plain`` is none of these.
        lines: the text below its title.
    """

    name: str
    kind: NodeKind
    title: str
    lines: tuple[str, ...]
    left: int
    top: int
    state: str = "plain"

    @property
    def middle(self) -> int:
        """Where arrows meet it."""
        return self.top + BOX_HEIGHT // 2


@dataclass(frozen=True, kw_only=True)
class Arrow:
    """From the right side of one box to the left of another."""

    path: str
    state: str


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The drawing, and the same in a sentence for who cannot see it."""

    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    description: str
    width: int = WIDTH
    height: int = HEIGHT
    box_width: int = BOX_WIDTH
    box_height: int = BOX_HEIGHT


def flow_of(snapshot: Snapshot) -> Flow:
    """Draw a snapshot."""
    known = {queue.label: queue for queue in snapshot.queues}
    embed = [queue for queue in snapshot.queues if queue.label in EMBED_QUEUES]
    hosts = {host.kind: host for host in snapshot.hosts}
    running = {item.label: item.running or 0 for item in snapshot.functions}
    nodes = {
        node.name: node
        for node in (
            Node(name="artifacts", kind="store", title="artifacts", lines=("S3 bucket, ocr/",), left=_x(0), top=MIDDLE),
            *_pictures(known.get("pictures"), running.get("read pictures", 0)),
            _queue("ocr", known.get("OCR results"), "OCR results", 1, MIDDLE),
            _work("process", "process OCR", "writes NDJSON", running.get("process OCR", 0), 2),
            *_embed_queues(embed),
            *(_host(hosts[kind], top) for kind, top in (("lambda", TOP), ("ecs", BOTTOM)) if kind in hosts),
            Node(
                name="runs",
                kind="store",
                title="deltas, runs",
                lines=("S3 and DynamoDB", _unfinished(snapshot)),
                left=_x(5),
                top=MIDDLE,
            ),
            _work("stream", "stream", "tells the queues", running.get("stream processor", 0), 6),
            _queue("lines", known.get("lines"), "lines", 7, TOP),
            _queue("words", known.get("words"), "words", 7, BOTTOM),
            _work("merge", "merge", "writes versions", running.get("merge", 0), 8),
            Node(
                name="collections",
                kind="store",
                title="collections",
                lines=tuple(f"{item.collection} {item.rows:,} rows" for item in snapshot.versions),
                left=_x(9),
                top=MIDDLE,
            ),
        )
    }
    arrows = tuple(_arrow(nodes, start, end) for start, end in _pairs(nodes, embed))
    return Flow(nodes=tuple(nodes.values()), arrows=arrows, description=_description(snapshot))


def _x(column: int) -> int:
    return 12 + column * COLUMN


def _queue(name: str, queue: QueueNow | None, title: str, column: int, top: int) -> Node:
    if queue is None or queue.is_missing:
        return Node(name=name, kind="queue", title=title, lines=("missing",), left=_x(column), top=top, state="off")
    waiting = queue.visible + queue.in_flight
    told = f"{queue.visible} waiting" + (f", {queue.in_flight} held" if queue.in_flight else "")
    state = "busy" if waiting else "plain"
    return Node(name=name, kind="queue", title=title, lines=(told,), left=_x(column), top=top, state=state)


def _pictures(queue: QueueNow | None, running: int) -> Iterator[Node]:
    """Stage 0, where a setting turns it on: what it writes comes to the bucket as other OCR results do."""
    if queue is not None:
        yield _queue("pictures", queue, "pictures", 1, PICTURES)
        yield _work("read", "read pictures", "writes ocr/", running, 2, top=PICTURES)


def _embed_queues(queues: list[QueueNow]) -> Iterator[Node]:
    tops = (MIDDLE,) if len(queues) == 1 else (BOTTOM, TOP)
    for queue, top in zip(sorted(queues, key=lambda item: item.label), tops, strict=False):
        yield _queue(queue.label, queue, queue.label, 3, top)


def _host(host: HostNow, top: int) -> Node:
    state = "off" if host.standing == "off" else "on"
    title = HOST_NAMES[host.kind]
    return Node(
        name=host.kind, kind="work", title=title, lines=(host.standing, host.detail), left=_x(4), top=top, state=state
    )


def _work(name: str, title: str, does: str, running: int, column: int, *, top: int = MIDDLE) -> Node:
    lines = (does, f"{running} at work" if running else "idle")
    state = "busy" if running else "plain"
    return Node(name=name, kind="work", title=title, lines=lines, left=_x(column), top=top, state=state)


def _unfinished(snapshot: Snapshot) -> str:
    if snapshot.runs is None:
        return "being counted"
    open_runs = sum(count for state, count in snapshot.runs.by_state.items() if state.endswith((" PENDING", " MERGED")))
    return f"{open_runs} under way" if open_runs else "none under way"


def _pairs(nodes: dict[str, Node], embed: list[QueueNow]) -> Iterator[tuple[str, str]]:
    if "pictures" in nodes:
        yield from (("artifacts", "pictures"), ("pictures", "read"))
    yield from (("artifacts", "ocr"), ("ocr", "process"))
    for queue in embed:
        if queue.label not in nodes:
            continue
        yield "process", queue.label
        for kind in HOST_NAMES:
            # Of two queues each has a consumer of its own, which its name ends with.
            if kind in nodes and (len(embed) == 1 or queue.label.endswith(kind)):
                yield queue.label, kind
    for kind in HOST_NAMES:
        if kind in nodes:
            yield kind, "runs"
    yield from (("runs", "stream"), ("stream", "lines"), ("stream", "words"), ("lines", "merge"), ("words", "merge"))
    yield "merge", "collections"


def _arrow(nodes: dict[str, Node], start: str, end: str) -> Arrow:
    one, other = nodes[start], nodes[end]
    left, right = one.left + BOX_WIDTH, other.left
    bend = (left + right) // 2
    path = f"M{left} {one.middle} C{bend} {one.middle} {bend} {other.middle} {right - 3} {other.middle}"
    if "off" in (one.state, other.state):
        return Arrow(path=path, state="off")
    return Arrow(path=path, state="busy" if "busy" in (one.state, other.state) else "plain")


def _description(snapshot: Snapshot) -> str:
    on = " and ".join(HOST_NAMES[host.kind] for host in snapshot.on) or "nobody"
    waiting = ", ".join(
        f"{queue.label} {queue.visible}" for queue in snapshot.queues if queue.visible and not queue.is_dead_letter
    )
    return f"The embed queue is consumed by {on}. Waiting: {waiting or 'nothing'}."
