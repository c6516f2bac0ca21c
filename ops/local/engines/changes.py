"""What a change of a resource's inputs means, whichever engine asks: pure, apart from asking the provisioner.

The in-process engine and the attached provider both decide by this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pulumi.runtime import rpc

from ops.local.provisioners import Inputs, Provisioner


@dataclass(frozen=True, kw_only=True)
class Change:
    """How a resource gets from known inputs to desired ones.

    Attributes:
        keys: the inputs that differ, sorted; none is no change.
        replacing: those of them that no update can make, so that the resource is made again.
        delete_first: a replacement has the old one's name, so that the old one must go first.
    """

    keys: tuple[str, ...]
    replacing: tuple[str, ...] = ()
    delete_first: bool = False


def checked(provisioner: Provisioner, inputs: Inputs) -> Inputs:
    """The program's inputs and those that come from this machine; None is the same as absent."""
    return {key: value for key, value in {**inputs, **provisioner.derived(inputs)}.items() if value is not None}


def compare(provisioner: Provisioner, known: Inputs, desired: Inputs, *, attempted: Inputs | None = None) -> Change:
    """What must be done.

    Args:
        provisioner: of the resource's type.
        known: inputs that the resource has.
        desired: inputs that it should have.
        attempted: inputs of an update that has failed and may have taken effect or not.
    """
    keys = tuple(
        sorted(
            {key for old in (known, attempted or known) for key in {*desired, *old} if desired.get(key) != old.get(key)}
        )
    )
    replacing = tuple(key for key in keys if provisioner.must_replace([key]))
    delete_first = bool(replacing) and provisioner.name_input in desired and provisioner.name_input not in keys
    return Change(keys=keys, replacing=replacing, delete_first=delete_first)


def expected_outputs(provisioner: Provisioner, inputs: Inputs, known: Mapping[str, Any] | None = None) -> Inputs:
    """What a preview may say of a resource's outputs.

    Args:
        provisioner: of the resource's type.
        inputs: desired ones, with unknowns.
        known: outputs that the resource has and keeps when it is updated; None when it is yet to be made.
    """
    computed = dict.fromkeys(provisioner.computed, rpc.UNKNOWN) if known is None else known
    return {**computed, **inputs}
