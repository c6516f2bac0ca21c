"""Two engines that make what the program declares, by the same provisioners and by the same rules.

``in_process.py`` needs no CLI and is the default. ``pulumi_cli.py`` runs the real Pulumi engine, which calls
``provider.py``. What both say and decide is in ``steps.py`` and ``changes.py``; neither of the two repeats the other.
"""

from collections.abc import Mapping
from typing import Literal, Protocol

from ops.local.engines.steps import NOBODY, Told
from ops.local.provisioners import Registry
from ops.local.state import UpdateRecord

EngineName = Literal["in-process", "pulumi"]


class Engine(Protocol):
    """What a local stack needs of an engine."""

    @property
    def record(self) -> UpdateRecord:
        """What is known of the stack's updates."""
        ...

    def update(
        self, registry: Registry, config: Mapping[str, str], told: Told, *, choice: str = "", refresh: bool = False
    ) -> None:
        """Make what the program declares.

        Args:
            registry: the provisioners.
            config: full keys (``namespace:key``) to values, objects as JSON.
            told: who hears of steps.
            choice: the consumer that this update chooses; recorded until the update has ended.
            refresh: the emulator was started again, so look first at what it has.

        Raises:
            EngineError: a step failed; what succeeded is kept.
            Whatever the program raises.
        """
        ...

    def destroy(self, registry: Registry, config: Mapping[str, str], told: Told = NOBODY) -> None:
        """Delete everything.

        Raises:
            EngineError: a step failed; what was not deleted is kept.
        """
        ...

    def forget(self, registry: Registry, kind: str) -> None:
        """Delete every resource of one type; the next update creates it again."""
        ...
