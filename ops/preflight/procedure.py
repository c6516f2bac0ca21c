"""The preflight as the command line calls it: a stack's settings, the account's answers, the judgement, its display."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from one_consumer.live.access import AwsAccess, access_from
from ops.console import Output, styled
from ops.preflight.account import Unread, read_account
from ops.preflight.judgement import Remark, Weight, judge
from ops.preflight.needs import Needs, needs
from ops.preflight.rights import OPERATOR, deployer_rights, policy_document
from ops.target import PROJECT_DIRECTORY, OperatorError
from pipeline.aws import AwsClient
from stack.combinations import deployment_refusals
from stack.errors import SettingsRefused
from stack.loading import load
from stack.naming import check_stack_name
from stack.settings import NAMESPACE, Settings

COLOURS: Mapping[Weight, str] = {Weight.REFUSED: "red", Weight.SHORT: "yellow", Weight.OPEN: "cyan"}


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A stack as its file declares it."""

    settings: Settings
    access: AwsAccess
    needs: Needs


def declared(stack: str, directory: Path = PROJECT_DIRECTORY) -> Declared:
    """What ``Pulumi.<stack>.yaml`` asks for, checked as the program does it; neither Pulumi nor AWS is asked.

    Raises:
        OperatorError: CONFIGURATION_UNREADABLE.
        SettingsRefused: the program would refuse the settings.
        StackRefusal: the program would refuse the stack's name.
    """
    path = directory / f"Pulumi.{stack.rsplit('/', 1)[-1]}.yaml"
    try:
        config: Mapping[str, Any] = (yaml.safe_load(path.read_text()) or {}).get("config") or {}
    except (OSError, yaml.YAMLError, AttributeError) as error:
        raise OperatorError(
            "CONFIGURATION_UNREADABLE",
            f"{path.name} cannot be read: {error}",
            "give --stack the name of a stack whose file is here; Pulumi.dev.yaml is a complete one to copy",
        ) from error
    check_stack_name(NAMESPACE, path.name.removeprefix("Pulumi.").removesuffix(".yaml"))
    prefix = f"{NAMESPACE}:"
    settings = load({key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)})
    if refusals := deployment_refusals(settings, region=config.get("aws:region"), emulated=False):
        raise SettingsRefused(refusals)
    name = path.name.removeprefix("Pulumi.").removesuffix(".yaml")
    return Declared(
        settings=settings,
        access=access_from(lambda key: config.get(f"aws:{key}"), settings.region),
        needs=needs(settings, project=NAMESPACE, stack=name),
    )


def run_preflight(output: Output, stack: Declared, client: Callable[[str], AwsClient]) -> dict[str, Any]:
    """Ask, judge and show.

    Args:
        output: where people read.
        stack: as it is declared.
        client: a boto3 client of a service by name, in the stack's account and region.

    Returns:
        the document for programs; ``refused`` says whether an update would be.
    """
    account = read_account(client, stack.needs)
    remarks = judge(stack.needs, account)
    caller = account.caller
    who = caller.reason if isinstance(caller, Unread) else f"{caller.arn} in account {caller.account}"
    output.say(f"stack {stack.needs.stack}, {stack.needs.region}: {who}")
    for remark in remarks:
        output.say(styled(f"{remark.weight.value:8}", COLOURS[remark.weight]), f"{remark.code}: {remark.value}")
        output.say(f"         rule: {remark.rule}")
        output.say(f"         way out: {remark.way_out}")
    if not remarks:
        output.say(styled("nothing is in the way", "green"))
    return {
        "stack": stack.needs.stack,
        "needs": asdict(stack.needs),
        "caller": None if isinstance(caller, Unread) else asdict(caller),
        "remarks": [_shown(remark) for remark in remarks],
        "refused": any(remark.weight is Weight.REFUSED for remark in remarks),
    }


def policy_of(stack: Declared, who: Literal["deployer", "operator"], account: str) -> dict[str, Any]:
    """The policy of whoever deploys and switches this stack, or of whoever uses its commands."""
    rights = deployer_rights() if who == "deployer" else OPERATOR
    return policy_document(rights, name=stack.needs.name, region=stack.needs.region, account=account)


def _shown(remark: Remark) -> dict[str, str]:
    return {
        "code": remark.code.value,
        "weight": remark.weight.value,
        "value": remark.value,
        "rule": remark.rule,
        "way_out": remark.way_out,
    }
