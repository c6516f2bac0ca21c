"""The program evaluated without making anything: every resource with the inputs it would be made with.

No hook runs and no account is asked, so a stack can be priced before it exists. Its other half is ``stack.py``, which
reads what costs money from the resources.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.local.emulator import ACCOUNT, REGION
from ops.local.engines.in_process import evaluate
from ops.local.engines.monitor import ProvisioningMonitor
from ops.local.provisioners import Created, InPlace, Inputs, Registry
from ops.local.provisioners.context import arn
from ops.local.provisioners.recorded import invokes
from ops.local.state import StackState
from stack.settings import NAMESPACE, Settings

OUTPUTS = ("url", "streamArn", "repositoryUrl", "registryId", "digest", "prefixListId", "bucket")
"""What a resource is given by AWS and other resources of the program are made of, beside name and ARN."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource as the program declares it."""

    type: str
    name: str
    inputs: Mapping[str, Any]


class _Anything(InPlace):
    """Makes a resource of any type: it keeps the inputs and answers with outputs of the right form."""

    def __init__(self, kind: str, made: list[Resource]) -> None:
        self._kind, self._made = kind, made
        self.computed = ("arn", "name", *OUTPUTS)

    def create(self, name: str, inputs: Inputs) -> Created:
        """Record it."""
        self._made.append(Resource(type=self._kind, name=name, inputs=inputs))
        physical = str(inputs.get("name") or inputs.get("bucketPrefix") or name)
        outputs = dict.fromkeys(OUTPUTS, physical)
        outputs["digest"] = f"sha256:{'0' * 64}"
        outputs["registryId"] = ACCOUNT
        return physical, {**outputs, "arn": arn(self._kind.split(":")[1].split("/")[0], physical), "name": physical}


class _AnyType(Registry):
    """Has a provisioner for every type."""

    def __init__(self, made: list[Resource]) -> None:
        super().__init__({}, invokes())
        self._made = made

    def provisioner(self, kind: str) -> _Anything:
        """The one that records."""
        return _Anything(kind, self._made)


class _NotKept(StackState):
    """The state of nothing that was made; to write it after each resource would take longer than all the rest."""

    def write(self, path: Path) -> None:
        """Nowhere."""
        del path


class _WithoutHooks(ProvisioningMonitor):
    """Hooks wait for a queue of AWS to be drained; there is none."""

    def _run_hooks(
        self,
        names: Iterable[str],
        urn: str,
        kind: str,
        name: str,
        identifier: str = "",
        *,
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        del names, urn, kind, name, identifier, inputs


def record(program: Path, settings: Mapping[str, Any], *, stack: str) -> list[Resource]:
    """Evaluate the program with the settings, as ``Pulumi.<stack>.yaml`` has them, without their namespace.

    Raises:
        SettingsRefused, StackRefusal: as the program.
    """
    config = {f"{NAMESPACE}:{key}": _text(value) for key, value in settings.items()}
    made: list[Resource] = []
    with tempfile.TemporaryDirectory() as directory:
        monitor = _WithoutHooks(_AnyType(made), Path(directory) / "state.json")
        monitor.state = _NotKept()
        evaluate(program, project=NAMESPACE, stack=stack, config={"aws:region": REGION, **config}, monitor=monitor)
    return made


def as_config(settings: Settings, **changes: Any) -> dict[str, Any]:
    """Settings as a stack's file would have them, with some of them changed."""
    plain = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {**plain, **changes}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)
