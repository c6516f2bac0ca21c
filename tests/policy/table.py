"""Tables of styles: what a program adds beside a queue that feeds a function, and the verdict at three moments."""

from collections.abc import Callable

from one_consumer.pack.codes import Code
from one_consumer.pack.settings import Settings
from tests.policy.dumps import Dump, Item, Moment
from tests.policy.recorded import judged
from tests.policy.styles import fed_function, queue

Style = Callable[[Dump, Item], object]
CONFLICTS = {Code.ONE_CONSUMER, Code.ONE_CONSUMER_UNPROVEN, Code.UNJUDGED}


class Table:
    """Styles by their functions' names, each with its verdicts."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[str, Style]] = {}

    def style(self, verdicts: str) -> Callable[[Style], Style]:
        """Put a style into the table: M mandatory, a advisory, - none, at the first preview, over the queue, known."""

        def put(function: Style) -> Style:
            assert function.__name__ not in self.rows
            assert len(verdicts.split()) == len(Moment)
            self.rows[function.__name__] = (verdicts, function)
            return function

        return put

    def check(self, name: str, moment: Moment) -> None:
        """A style must get its verdict."""
        verdicts, add = self.rows[name]
        assert verdict(stack_of(add), moment) == verdicts.split()[list(Moment).index(moment)]


def stack_of(add: Style) -> Dump:
    """A stack with a queue ``jobs`` that a mapping feeds a function from, and what a style adds to it."""
    dump = Dump()
    jobs = queue(dump)
    fed_function(dump, jobs)
    add(dump, jobs)
    return dump


def verdict(dump: Dump, moment: Moment, settings: Settings | None = None) -> str:
    """How a stack is judged; there must be nothing else to say of it."""
    codes = {violation.code for violation in judged(dump.at(moment), settings)}
    assert codes <= CONFLICTS, codes
    return "M" if Code.ONE_CONSUMER in codes else "a" if codes else "-"
