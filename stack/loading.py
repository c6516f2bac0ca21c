"""Reads the settings: once, from one place, checked together. Nothing else reads Pulumi's configuration.

``load`` is pure and collects every problem; AWS accepts or refuses some of these only half way through an update.
"""

from collections.abc import Mapping
from typing import Any

import pulumi
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from one_consumer.live.access import AwsAccess, access_from, decoded, endpoint_of
from stack.combinations import EMBEDDING_DEFAULTS, combination_refusals, deployment_refusals
from stack.errors import Refusal, RefusalCode, SettingsRefused
from stack.naming import check_stack_name
from stack.settings import NAMESPACE, Settings


def read() -> Settings:
    """The settings of the running stack.

    Raises:
        SettingsRefused: with everything that is wrong.
        StackRefusal: NAME_INVALID or NAME_TOO_LONG, of the stack's name.
    """
    check_stack_name(pulumi.get_project(), pulumi.get_stack())
    # Pulumi's Config object cannot list its keys, and an unknown key must be refused, so the table behind it is read.
    # Under the CLI it is in the process's environment; in-process it is set.
    table = {**pulumi.runtime.config.get_config_env(), **pulumi.runtime.config.CONFIG.get()}
    prefix = NAMESPACE + ":"
    settings = load({key.removeprefix(prefix): value for key, value in table.items() if key.startswith(prefix)})
    provider = pulumi.Config("aws")
    emulated = endpoint_of(provider.get) is not None
    if refusals := deployment_refusals(settings, region=provider.get("region"), emulated=emulated):
        raise SettingsRefused(refusals)
    return settings


def read_access(settings: Settings) -> AwsAccess:
    """How Pulumi's AWS provider is configured to reach AWS, for the hooks, which must reach the same account."""
    return access_from(pulumi.Config("aws").get, settings.region)


def load(mapping: Mapping[str, Any]) -> Settings:
    """Check and build.

    Args:
        mapping: setting to value, as Pulumi has them: scalars may be strings, objects may be JSON.

    Raises:
        SettingsRefused: with everything that is wrong, not only the first.
    """
    raw = {key: decoded(value) for key, value in mapping.items()}
    refusals: list[Refusal] = []
    model, dimensions = EMBEDDING_DEFAULTS.get(str(raw.get("embedder", "openai")), EMBEDDING_DEFAULTS["openai"])
    raw.setdefault("embeddingModel", model)
    raw.setdefault("embeddingDimensions", dimensions)
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        refusals = [_refusal(fault) for fault in error.errors()]
        for fault in error.errors():
            _drop(raw, fault["loc"])
        raw.setdefault("embeddingModel", model)
        raw.setdefault("embeddingDimensions", dimensions)
        # What is left is checked against the defaults of what was dropped: one run shows every problem.
        settings = Settings.model_validate(raw)
    refusals += combination_refusals(settings)
    if refusals:
        raise SettingsRefused(refusals)
    return settings


def _drop(raw: dict[str, Any], location: tuple[int | str, ...]) -> None:
    head, *rest = location
    section = raw.get(str(head))
    if rest and isinstance(section, Mapping) and rest[0] in section:
        raw[str(head)] = {key: value for key, value in section.items() if key != rest[0]}
    else:
        raw.pop(str(head), None)


def _field(location: tuple[int | str, ...]) -> FieldInfo | None:
    model: type[BaseModel] | None = Settings
    found: FieldInfo | None = None
    for part in location:
        if model is None:
            break
        found = next((field for field in model.model_fields.values() if field.alias == part), None)
        annotation = found.annotation if found else None
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return found


def _refusal(fault: Any) -> Refusal:
    name = f"{NAMESPACE}:" + ".".join(str(part) for part in fault["loc"])
    kind = fault["type"]
    field = _field(fault["loc"])
    if kind == "extra_forbidden":
        code, rule = RefusalCode.SETTING_UNKNOWN, "only the settings that Pulumi.yaml documents exist"
        way_out = "remove it or correct its name; Pulumi.yaml lists them all"
        return Refusal(code=code, value=f"{name} = {fault['input']!r}", rule=rule, way_out=way_out)
    code = {
        "literal_error": RefusalCode.CHOICE_UNKNOWN,
        "enum": RefusalCode.CHOICE_UNKNOWN,
        "greater_than": RefusalCode.OUT_OF_RANGE,
        "greater_than_equal": RefusalCode.OUT_OF_RANGE,
        "less_than_equal": RefusalCode.OUT_OF_RANGE,
    }.get(kind, RefusalCode.SETTING_INVALID)
    example = "a value that fits"
    if field is not None and not field.is_required() and field.default is not None:
        default = field.default
        example = str(default.model_dump(by_alias=True) if isinstance(default, BaseModel) else default)
    rule = fault["msg"][0].lower() + fault["msg"][1:]
    if code is RefusalCode.OUT_OF_RANGE and field is not None and field.description is not None:
        rule += f" ({field.description})"
    return Refusal(
        code=code,
        value=f"{name} = {fault['input']!r}",
        rule=rule,
        way_out=f"set {name} to, for example, {example}",
    )
