"""HTML from templates: every value is escaped, and characters that would act on the reader's text are written out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ops.console import age
from ops.page.flow import flow_of
from ops.visible import visible
from ops.watching.snapshot import TIMELINE_SECONDS, Snapshot
from ops.watching.terminal import switch_text

FOLDER = Path(__file__).parent
PARTS = ("head", "flow", "queues", "timeline", "runs", "latest")
"""What is drawn again as the stack works: a template and an element of that name each."""


class Renderer:
    """The page's templates."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        constants: Any = self._environment.globals
        constants |= {"timeline_seconds": TIMELINE_SECONDS, "parts": PARTS}
        self._environment.filters["age"] = age

    def page(self, template: str, **values: Any) -> str:
        """A whole page."""
        return self._environment.get_template(template).render(**values)

    def parts(self, snapshot: Snapshot) -> dict[str, str]:
        """The parts that change, by the ids of their elements."""
        values = values_of(snapshot)
        return {part: self._environment.get_template(f"live/{part}.html").render(**values) for part in PARTS}


def values_of(snapshot: Snapshot) -> Mapping[str, Any]:
    """What the templates of a snapshot are given."""
    return {"seen": snapshot, "flow": flow_of(snapshot), "switch": switch_text(snapshot)}


def _shown(value: Any) -> Any:
    """What an expression in a template becomes. Markup is what a macro has made, and is escaped already."""
    if value is None:
        return "-"
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
