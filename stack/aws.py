"""Pulumi's AWS SDK as this program uses it: each class is imported from its own module. No resource is here.

``pulumi_aws`` imports a service as a whole, with all its resources, when the first class of it is used: 500 modules of
which the program needs a hundred (docs/facts.md, "Importing the AWS SDK"). Here a service is a package whose
``__init__`` has not run. A class is looked for in the module that is called after it; anything else is found as
usual, by importing the service.
"""

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pulumi

if TYPE_CHECKING:
    from pulumi_aws import (
        appautoscaling,
        budgets,
        cloudwatch,
        dynamodb,
        ec2,
        ecr,
        ecs,
        efs,
        iam,
        lambda_,
        s3,
        scheduler,
        secretsmanager,
        sns,
        sqs,
        vpc,
    )

__all__ = [
    "appautoscaling",
    "budgets",
    "cloudwatch",
    "dynamodb",
    "ec2",
    "ecr",
    "ecs",
    "efs",
    "iam",
    "lambda_",
    "s3",
    "scheduler",
    "secretsmanager",
    "sns",
    "sqs",
    "vpc",
]
WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Service(ModuleType):
    """A service's package before its ``__init__`` has run; after that it is a plain module."""

    def __getattr__(self, name: str) -> Any:
        """Import what the name means; what has been asked for once is an attribute."""
        if name.startswith("__") and name != "__all__":
            raise AttributeError(name)
        for place in places(name):
            if (Path(self.__path__[0]) / f"{place}.py").exists():
                module = importlib.import_module(f"{self.__name__}.{place}")
                value = module if place == name else getattr(module, name, None)
                if value is not None:
                    setattr(self, name, value)
                    return value
        self.__class__ = ModuleType  # type: ignore[assignment]
        self.__spec__.loader.exec_module(self)  # type: ignore[union-attr]
        return getattr(self, name)


def places(name: str) -> tuple[str, ...]:
    """The modules where a service may have a name, most likely first; pure.

    Args:
        name: of a module (``outputs``), a class (``VpcEndpoint``), the class of a resource's or a nested type's
            arguments (``VpcEndpointArgs``), or a function (``get_role``, ``get_role_output``).
    """
    snake = WORD.sub("_", name).lower()
    if name.endswith("Args"):
        return snake.removesuffix("_args"), "_inputs"
    return name, snake, snake.removesuffix("_output")


def service(name: str) -> ModuleType:
    """A service of the SDK; the whole package where somebody has imported that already."""
    import pulumi_aws  # noqa: PLC0415 - what imports this module may use no service

    full = f"pulumi_aws.{name}"
    known = sys.modules.pop(full, None)
    # Not the one that pulumi_aws itself prepares, which imports the whole service when anything of it is touched.
    if known is not None and type(known) in {ModuleType, Service}:
        sys.modules[full] = known
        return known
    spec = importlib.util.find_spec(full)
    if spec is None:
        raise ImportError(full)
    package = importlib.util.module_from_spec(spec)
    package.__class__ = Service
    sys.modules[full] = package
    setattr(pulumi_aws, name, package)
    return package


def caller_account() -> pulumi.Output[str]:
    """The number of the account that is deployed to: a function of the SDK itself, of no service."""
    from pulumi_aws.get_caller_identity import get_caller_identity_output  # noqa: PLC0415 - see above

    return get_caller_identity_output().account_id


def __getattr__(name: str) -> ModuleType:
    """A service by its name, when it is first used."""
    if name not in __all__:
        raise AttributeError(f"stack/aws.py lists no service {name!r}")
    value = globals()[name] = service(name)
    return value
