"""The provisioners as a Pulumi provider: the real engine is attached to it by ``PULUMI_DEBUG_PROVIDERS``.

It translates messages and decides nothing: what a change means is in ``changes.py``, what is made in the provisioners.
It trusts the engine that calls it, and listens on loopback only.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from ops.local.engines.changes import checked, compare, expected_outputs
from ops.local.provisioners import Inputs, Provisioner, Registry
from ops.local.runtime_interface import LOOPBACK

PACKAGES = ("aws", "docker-build")
"""The providers that the program uses; one server takes the place of all of them."""
CALLS_AT_ONCE = 64
LARGEST_MESSAGE_BYTES = 400 * 2**20
"""What Pulumi's own clients accept (pulumi.runtime._grpc_settings)."""
STOP_SECONDS = 5.0
VERSION = "1000.0.0"
"""New enough for whatever package asks."""


class AttachedProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Hands the engine's calls to the provisioners. The method names are the protocol's.

    Args:
        registry: a provisioner for each resource type.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._ending = threading.Event()

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Nothing special is understood: secrets and references come as plain values."""
        del request, context
        return provider_pb2.ProviderHandshakeResponse()

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Nothing to do: the engine's address is not needed."""
        del request, context
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """A version: the engine warns of one that is older than the package in Python."""
        del request, context
        return plugin_pb2.PluginInfo(version=VERSION)

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Any configuration is right: the emulator's address is known already."""
        del context
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """A changed configuration changes no resource."""
        del request, context
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Previews of creations and updates come here too, so that computed outputs are unknown in them."""
        del request, context
        # An engine that ends says so; this is the next one.
        self._ending.clear()
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """The engine was asked to stop: what has begun ends, nothing else begins."""
        del request, context
        self._ending.set()
        return empty_pb2.Empty()

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """The inputs, with what comes from this machine."""

        def check(provisioner: Provisioner) -> Any:
            return provider_pb2.CheckResponse(inputs=_struct(checked(provisioner, _plain(request.news))))

        return self._answer(request.urn, context, check)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Whether to update or to make again."""

        def diff(provisioner: Provisioner) -> Any:
            change = compare(provisioner, _plain(request.old_inputs), _plain(request.news))
            kinds = provider_pb2.DiffResponse
            return provider_pb2.DiffResponse(
                changes=kinds.DIFF_SOME if change.keys else kinds.DIFF_NONE,
                diffs=change.keys,
                replaces=change.replacing,
                deleteBeforeReplace=change.delete_first,
            )

        return self._answer(request.urn, context, diff)

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Make it; in a preview only say what is unknown."""

        def create(provisioner: Provisioner) -> Any:
            inputs = _plain(request.properties)
            if request.preview:
                return provider_pb2.CreateResponse(properties=_struct(expected_outputs(provisioner, inputs)))
            self._require_begin()
            identifier, outputs = provisioner.create(request.name, inputs)
            return provider_pb2.CreateResponse(id=identifier, properties=_struct({**inputs, **outputs}))

        return self._answer(request.urn, context, create)

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """What is there now; without an id when it is gone. Foreign resources are not read."""

        def read(provisioner: Provisioner) -> Any:
            inputs, outputs = _plain(request.inputs), _plain(request.properties)
            if not inputs and not outputs:
                raise ValueError("reading foreign resources is not provided on this machine")
            found = provisioner.read(request.id, inputs)
            if found is None:
                return provider_pb2.ReadResponse()
            return provider_pb2.ReadResponse(
                id=request.id, inputs=_struct(found), properties=_struct({**outputs, **found})
            )

        return self._answer(request.urn, context, read)

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Change it in place."""

        def update(provisioner: Provisioner) -> Any:
            old, new, known = _plain(request.old_inputs), _plain(request.news), _plain(request.olds)
            if request.preview:
                kept = {key: value for key, value in known.items() if key in provisioner.computed}
                return provider_pb2.UpdateResponse(properties=_struct(expected_outputs(provisioner, new, kept)))
            self._require_begin()
            kept = {key: value for key, value in known.items() if key not in old}
            try:
                changed = provisioner.update(request.id, old, new)
            except Exception as error:
                # It may have taken effect or not. So the new inputs are kept, and marked: the next update is made.
                _mark(context, request.id, new, {**kept, **new}, _said(error))
                raise
            return provider_pb2.UpdateResponse(properties=_struct({**kept, **new, **changed}))

        return self._answer(request.urn, context, update)

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Remove it."""

        def delete(provisioner: Provisioner) -> Any:
            self._require_begin()
            provisioner.delete(request.id, _plain(request.old_inputs))
            return empty_pb2.Empty()

        return self._answer(request.urn, context, delete)

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Answer a data source."""
        try:
            response = provider_pb2.InvokeResponse()
            # A word of Python's, so not by its name.
            getattr(response, "return").CopyFrom(_struct(self._registry.invoke(request.tok, _plain(request.args))))
            return response
        except Exception as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
            raise

    def _require_begin(self) -> None:
        if self._ending.is_set():
            raise InterruptedError("interrupted before this step began")

    def _answer(self, urn: str, context: grpc.ServicerContext, call: Callable[[Provisioner], Any]) -> Any:
        """Call with the type's provisioner; an error reaches the engine, which knows the resource, as one sentence."""
        try:
            return call(self._registry.provisioner(urn.split("::")[2].rsplit("$", 1)[-1]))
        except Exception as error:
            context.abort(grpc.StatusCode.UNKNOWN, _said(error))
            raise


@contextmanager
def serve(registry: Registry, packages: Sequence[str] = PACKAGES) -> Iterator[str]:
    """Serve the provisioners on loopback as long as it is entered.

    Args:
        registry: a provisioner for each resource type.
        packages: the providers whose place it takes.

    Yields:
        The value of ``PULUMI_DEBUG_PROVIDERS`` that attaches an engine to it.
    """
    limits = [(f"grpc.max_{way}_message_length", LARGEST_MESSAGE_BYTES) for way in ("send", "receive")]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=CALLS_AT_ONCE), options=limits)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(AttachedProvider(registry), server)
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    server.start()
    try:
        yield ",".join(f"{package}:{port}" for package in packages)
    finally:
        # What has begun ends: a step that is cut off may or may not have been made.
        server.stop(STOP_SECONDS).wait()


def _plain(properties: struct_pb2.Struct) -> Inputs:
    return MessageToDict(properties)


def _struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update(json.loads(json.dumps(properties, default=str)))
    return message


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _mark(context: grpc.ServicerContext, identifier: str, inputs: Inputs, outputs: Inputs, reason: str) -> None:
    """Tell the engine what is known of a resource that exists and may not be as it should be."""
    detail = provider_pb2.ErrorResourceInitFailed(
        id=identifier, inputs=_struct(inputs), properties=_struct(outputs), reasons=[reason]
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reason)
    status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
