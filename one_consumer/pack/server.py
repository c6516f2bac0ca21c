"""Between Pulumi's policy protocol and the judgement: one Pulumi policy a code. It decides nothing.

It speaks the protocol itself (https://github.com/pulumi/pulumi/blob/master/proto/pulumi/analyzer.proto), in place of
Pulumi's library ``pulumi-policy``: that one reads the whole stack again for each policy, and raises on values of a kind
that it does not know (docs/facts.md, "The policy library reads a stack once a policy").
"""

import sys
from collections.abc import Iterable, Mapping
from concurrent import futures
from datetime import UTC, datetime
from typing import Any, Final

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, plugin_pb2

from one_consumer import VERSION
from one_consumer.pack.codes import Code, Violation
from one_consumer.pack.consumers.mappings import SOURCES
from one_consumer.pack.graph import UNKNOWN, Resource
from one_consumer.pack.judgement import is_judged, judge, unjudged
from one_consumer.pack.settings import ALLOW, ALLOW_SCHEMA, SENDS_ONLY, SENDS_ONLY_SCHEMA, Settings

NAME = "one-queue-one-consumer"
MESSAGE_BYTES: Final = 400 * 1024 * 1024
"""The engine sends a stack in one message; Pulumi's own hosts take this much."""
UNKNOWN_VALUES: Final = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
"""How the engine writes an unknown boolean, number, string, array, asset, archive and object
(pulumi/sdk, go/common/resource/plugin/rpc.go)."""
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
"""The key that marks a value of a special kind (pulumi/sdk, go/common/resource/sig)."""
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the protocol's mark, no secret
OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
RESOURCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
LEVELS: Final = {True: analyzer_pb2.MANDATORY, False: analyzer_pb2.ADVISORY}


class Pack(analyzer_pb2_grpc.AnalyzerServicer):
    """The pack as Pulumi's engine calls it: given its configuration, then the stack."""

    def __init__(self) -> None:
        self._settings = Settings()
        self._levels: dict[str, analyzer_pb2.EnforcementLevel.ValueType] = {}

    def GetPluginInfo(self, request: Any, context: Any) -> plugin_pb2.PluginInfo:  # noqa: ARG002, N802
        """Which version this is."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetAnalyzerInfo(self, request: Any, context: Any) -> analyzer_pb2.AnalyzerInfo:  # noqa: ARG002, N802
        """Every code as a policy, so that each has a level and exceptions of its own."""
        policies = [
            analyzer_pb2.PolicyInfo(
                name=code.policy_name,
                displayName=code.name,
                description=code.value,
                enforcementLevel=LEVELS[code.mandatory],
                policy_type=analyzer_pb2.POLICY_TYPE_STACK,
                configSchema=analyzer_pb2.PolicyConfigSchema(properties=_struct(_schema_of(code))),
            )
            for code in Code
        ]
        return analyzer_pb2.AnalyzerInfo(name=NAME, version=VERSION, supportsConfig=True, policies=policies)

    def ConfigureStack(self, request: Any, context: Any) -> analyzer_pb2.AnalyzerStackConfigureResponse:  # noqa: ARG002, N802
        """Nothing in it changes a judgement."""
        return analyzer_pb2.AnalyzerStackConfigureResponse()

    def Configure(self, request: analyzer_pb2.ConfigureAnalyzerRequest, context: Any) -> empty_pb2.Empty:  # noqa: N802
        """Take a configuration in place of the one before; one that cannot be read stops the preview, and says why."""
        properties = {name: json_format.MessageToDict(item.properties) for name, item in request.policyConfig.items()}
        try:
            self._settings = Settings.read(properties)
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        self._levels = {name: item.enforcementLevel for name, item in request.policyConfig.items()}
        return empty_pb2.Empty()

    def Analyze(self, request: Any, context: Any) -> analyzer_pb2.AnalyzeResponse:  # noqa: ARG002, N802
        """Of a single resource nothing can be said: a conflict takes two."""
        return analyzer_pb2.AnalyzeResponse()

    def Remediate(self, request: Any, context: Any) -> analyzer_pb2.RemediateResponse:  # noqa: ARG002, N802
        """The pack changes nothing."""
        return analyzer_pb2.RemediateResponse()

    def Cancel(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: ARG002, N802
        """An analysis takes less than a second, so none is broken off."""
        return empty_pb2.Empty()

    def AnalyzeStack(self, request: analyzer_pb2.AnalyzeStackRequest, context: Any) -> analyzer_pb2.AnalyzeResponse:  # noqa: ARG002, N802
        """Judge the stack once, and give each finding the level of its policy."""
        diagnostics = []
        for violation in self._judged(request.resources):
            level = self._levels.get(violation.code.policy_name, LEVELS[violation.code.mandatory])
            if level != analyzer_pb2.DISABLED:
                # Nothing is remedied here, and the engine refuses what claims to be.
                level = analyzer_pb2.MANDATORY if level == analyzer_pb2.REMEDIATE else level
                diagnostics.append(
                    analyzer_pb2.AnalyzeDiagnostic(
                        policyName=violation.code.policy_name,
                        policyPackName=NAME,
                        policyPackVersion=VERSION,
                        description=violation.code.value,
                        message=f"{violation.code.value}\n{violation.message}",
                        enforcementLevel=level,
                        urn=violation.urn,
                    )
                )
        return analyzer_pb2.AnalyzeResponse(diagnostics=diagnostics)

    def _judged(self, messages: Iterable[analyzer_pb2.AnalyzerResource]) -> list[Violation]:
        today = datetime.now(UTC).date()
        try:
            return judge(map(resource_of, messages), self._settings, today)
        except Exception as error:  # noqa: BLE001 - an error here would end somebody's preview
            return [unjudged("", f"the stack cannot be read: {type(error).__name__}: {error}")]


def serve() -> None:
    """Serve the pack on a free port of this machine, print the port for the engine, and wait until it is stopped."""
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=4), options=[("grpc.max_receive_message_length", MESSAGE_BYTES)]
    )
    analyzer_pb2_grpc.add_AnalyzerServicer_to_server(Pack(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(grace=None)


def resource_of(message: analyzer_pb2.AnalyzerResource) -> Resource:
    """One resource as the engine shows it; the values of one whose type no rule looks at stay unread."""
    judged = is_judged(message.type) or not SOURCES.isdisjoint(message.properties.fields)
    return Resource(
        urn=message.urn,
        type=message.type,
        name=message.name,
        properties=_plain_struct(message.properties) if judged else {},
        property_dependencies={key: frozenset(item.urns) for key, item in message.propertyDependencies.items()}
        if judged
        else {},
        dependencies=frozenset(message.dependencies) if judged else frozenset(),
        parent=message.parent or None,
        ignored=frozenset(message.options.ignoreChanges) if judged else frozenset(),
    )


def _schema_of(code: Code) -> dict[str, Any]:
    return {ALLOW: ALLOW_SCHEMA, **({SENDS_ONLY: SENDS_ONLY_SCHEMA} if code is Code.ONE_CONSUMER else {})}


def _struct(value: dict[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(value)
    return struct


def _plain_struct(struct: struct_pb2.Struct) -> Any:
    plain = {key: _plain(value) for key, value in struct.fields.items()}
    mark = plain.get(SIGNATURE)
    return plain if mark is None else _plain_special(mark, plain)


def _plain(value: struct_pb2.Value) -> Any:
    """A value of the protocol as Python's own; what is unknown is ``UNKNOWN``, a secret is what it hides."""
    match value.WhichOneof("kind"):
        case "string_value":
            text = value.string_value
            return UNKNOWN if text in UNKNOWN_VALUES else text
        case "struct_value":
            return _plain_struct(value.struct_value)
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "bool_value":
            return value.bool_value
        case "number_value":
            return value.number_value
        case _:
            return None


def _plain_special(mark: Any, plain: Mapping[str, Any]) -> Any:
    if mark in (SECRET, OUTPUT):
        # An output that is not known yet has no value.
        return plain.get("value", UNKNOWN)
    if mark == RESOURCE:
        return plain.get("id") or plain.get("urn")
    # Files, archives, and kinds that do not exist yet: nothing that a rule reads.
    return None
