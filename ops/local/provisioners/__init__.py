"""A provisioner for each resource type of the program: on the emulator, on the supervisor, or only recorded.

A type that is not listed is refused: silence would make a stack that differs from the declared one.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

Inputs = dict[str, Any]
Created = tuple[str, dict[str, Any]]


class Provisioner(Protocol):
    """Makes one type of resource. Property names are the provider's, camel case.

    Attributes:
        computed: outputs that are unknown before the resource is made, unless an input of that name is given.
        name_input: the input that is the resource's name on AWS, where two cannot have one; empty when there is none.
    """

    @property
    def computed(self) -> tuple[str, ...]:
        """See above."""
        ...

    @property
    def name_input(self) -> str:
        """See above."""
        ...

    def derived(self, inputs: Inputs) -> Inputs:
        """Inputs that come from this machine and count as changes."""
        ...

    def must_replace(self, changed: list[str]) -> bool:
        """Whether these changes cannot be made in place."""
        ...

    def create(self, name: str, inputs: Inputs) -> Created:
        """Make it; its identifier and its computed outputs."""
        ...

    def update(self, identifier: str, old: Inputs, new: Inputs) -> dict[str, Any]:
        """Change it in place; outputs that changed."""
        ...

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """The inputs as they are found now, where one can look; None when it is gone."""
        ...

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it; gone already is as good."""
        ...


class UnknownTypeError(Exception):
    """A resource type or a data source that nothing here provides."""


class Registry:
    """All provisioners by type token, and the answers of data sources by function token."""

    def __init__(
        self, provisioners: Mapping[str, Provisioner], invokes: Mapping[str, Callable[[Inputs], dict[str, Any]]]
    ) -> None:
        self._provisioners = dict(provisioners)
        self._invokes = dict(invokes)

    def provisioner(self, kind: str) -> Provisioner:
        """The provisioner of a type.

        Raises:
            UnknownTypeError: for a type that is not listed.
        """
        try:
            return self._provisioners[kind]
        except KeyError:
            raise UnknownTypeError(
                f"{kind} is not provided on one machine. Way out: add it to ops/local/provisioners, or to the recorded "
                "types when nothing at run time needs it"
            ) from None

    def invoke(self, token: str, arguments: Inputs) -> dict[str, Any]:
        """The answer of a data source.

        Raises:
            UnknownTypeError: for one that is not listed.
        """
        try:
            return self._invokes[token](arguments)
        except KeyError:
            raise UnknownTypeError(f"data source {token} is not provided on one machine") from None


class InPlace:
    """The usual answers: nothing derived, nothing replaced, an update is a creation over what is there."""

    computed: tuple[str, ...] = ()
    name_input = "name"

    def derived(self, inputs: Inputs) -> Inputs:
        """Nothing."""
        del inputs
        return {}

    def must_replace(self, changed: list[str]) -> bool:
        """Never."""
        del changed
        return False

    def create(self, name: str, inputs: Inputs) -> Created:
        """Left to the type."""
        raise NotImplementedError

    def update(self, identifier: str, old: Inputs, new: Inputs) -> dict[str, Any]:
        """Apply all of it again."""
        del old
        return self.create(identifier, new)[1]

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """There is nothing to look at: as it was made."""
        del identifier
        return inputs

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Nothing to remove: it goes with what it belongs to."""
