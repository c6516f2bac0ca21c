"""Functions, their mappings and the schedule that calls one: declared on the emulator, run by the supervisor."""

import sys
import time
from typing import Any

from botocore.exceptions import ClientError

from ops.local.provisioners import Created, Inputs
from ops.local.provisioners.context import arn, rewrite_paths
from ops.local.provisioners.emulated import REVISION, Emulated, found_by, is_gone

MAPPING_SECONDS = 30.0


class Function(Emulated):
    """aws:lambda:Function of an image: the emulator calls the supervisor, which runs the image's entry point."""

    computed = ("arn", "name", "version")

    def must_replace(self, changed: list[str]) -> bool:
        """The name is for ever."""
        return "name" in changed

    def derived(self, inputs: Inputs) -> Inputs:
        """The code's digest: what an image's digest is on AWS."""
        del inputs
        return {REVISION: self._context.source_revision}

    def create(self, name: str, inputs: Inputs) -> Created:
        """Make the function."""
        function = inputs.get("name") or name
        url = self._run(function, inputs)
        self._context.client("lambda").create_function(
            FunctionName=function,
            PackageType="Image",
            Code={"ImageUri": inputs["imageUri"]},
            Role=inputs["role"],
            Timeout=int(inputs["timeout"]),
            MemorySize=int(inputs["memorySize"]),
            Environment={"Variables": self._variables(inputs, url)},
        )
        return function, {"arn": arn("lambda", f"function:{function}"), "name": function, "version": "$LATEST"}

    def update(self, identifier: str, old: Inputs, new: Inputs) -> dict[str, Any]:
        """Change its configuration; the process starts again."""
        del old
        url = self._run(identifier, new)
        self._context.client("lambda").update_function_configuration(
            FunctionName=identifier,
            Timeout=int(new["timeout"]),
            MemorySize=int(new["memorySize"]),
            Environment={"Variables": self._variables(new, url)},
        )
        return {}

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """Its size and its timeout."""

        def look() -> Inputs:
            found = self._context.client("lambda").get_function_configuration(FunctionName=identifier)
            return {**inputs, "timeout": found["Timeout"], "memorySize": found["MemorySize"]}

        return found_by(look)

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it and its process."""
        self._context.supervisor.delete_function(identifier)
        try:
            self._context.client("lambda").delete_function(FunctionName=identifier)
        except ClientError as error:
            if not is_gone(error):
                raise

    def _variables(self, inputs: Inputs, url: str) -> dict[str, str]:
        return {**inputs["environment"]["variables"], "MINISTACK_LAMBDA_PROXY_URL": url}

    def _run(self, function: str, inputs: Inputs) -> str:
        places = {"/tmp": self._context.state_directory / "functions" / function}  # noqa: S108 - the function's own
        mount = inputs.get("fileSystemConfig")
        if mount:
            places[mount["localMountPath"]] = self._context.file_system(mount["arn"])
        (handler,) = inputs["imageConfig"]["commands"]
        environment = {
            **self._context.process_environment(),
            **rewrite_paths(inputs["environment"]["variables"], places),
            "AWS_LAMBDA_FUNCTION_NAME": function,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(int(inputs["memorySize"])),
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "local",
            "_HANDLER": handler,
        }
        return self._context.supervisor.put_function(
            {
                "name": function,
                "command": [sys.executable, "-m", "awslambdaric", handler],
                "environment": environment,
                "timeout_seconds": float(inputs["timeout"]),
                "revision": str(inputs.get(REVISION)),
            }
        )


class EventSourceMapping(Emulated):
    """aws:lambda:EventSourceMapping; returns only when its state is the wanted one, as the real provider does."""

    computed = ("uuid", "functionArn")
    name_input = ""

    def must_replace(self, changed: list[str]) -> bool:
        """Source and start are for ever."""
        return bool({"eventSourceArn", "startingPosition"} & set(changed))

    def create(self, name: str, inputs: Inputs) -> Created:
        """Make the mapping."""
        del name
        optional: dict[str, Any] = {}
        if inputs.get("startingPosition"):
            optional["StartingPosition"] = inputs["startingPosition"]
        if inputs.get("filterCriteria"):
            patterns = [{"Pattern": item["pattern"]} for item in inputs["filterCriteria"]["filters"]]
            optional["FilterCriteria"] = {"Filters": patterns}
        answer = self._context.client("lambda").create_event_source_mapping(
            EventSourceArn=inputs["eventSourceArn"], **self._changeable(inputs), **optional
        )
        self._await(answer["UUID"], inputs)
        return answer["UUID"], {"uuid": answer["UUID"], "functionArn": inputs["functionName"]}

    def update(self, identifier: str, old: Inputs, new: Inputs) -> dict[str, Any]:
        """Enable, disable, resize."""
        del old
        self._context.client("lambda").update_event_source_mapping(UUID=identifier, **self._changeable(new))
        self._await(identifier, new)
        return {}

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """Whether it is on, and how much it takes."""

        def look() -> Inputs:
            found = self._context.client("lambda").get_event_source_mapping(UUID=identifier)
            on = found["State"] in ("Enabled", "Enabling", "Creating", "Updating")
            enabled = inputs.get("enabled") if on == (inputs.get("enabled") is not False) else on
            return {**inputs, "batchSize": found["BatchSize"], **({} if enabled is None else {"enabled": enabled})}

        return found_by(look)

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it."""
        try:
            self._context.client("lambda").delete_event_source_mapping(UUID=identifier)
        except ClientError as error:
            if not is_gone(error):
                raise

    def _changeable(self, inputs: Inputs) -> dict[str, Any]:
        values: dict[str, Any] = {
            "FunctionName": inputs["functionName"],
            "Enabled": inputs.get("enabled") is not False,
            "BatchSize": int(inputs["batchSize"]),
            "FunctionResponseTypes": inputs.get("functionResponseTypes", []),
        }
        if inputs.get("maximumBatchingWindowInSeconds"):
            values["MaximumBatchingWindowInSeconds"] = int(inputs["maximumBatchingWindowInSeconds"])
        if inputs.get("scalingConfig"):
            values["ScalingConfig"] = {"MaximumConcurrency": int(inputs["scalingConfig"]["maximumConcurrency"])}
        return values

    def _await(self, identifier: str, inputs: Inputs) -> None:
        wanted = "Disabled" if inputs.get("enabled") is False else "Enabled"
        deadline = time.monotonic() + MAPPING_SECONDS
        client = self._context.client("lambda")
        while (state := client.get_event_source_mapping(UUID=identifier)["State"]) != wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"mapping {identifier} is {state}, wanted {wanted}")
            time.sleep(0.1)


class Schedule(Emulated):
    """aws:scheduler:Schedule."""

    computed = ("arn", "name")

    def must_replace(self, changed: list[str]) -> bool:
        """The name is for ever."""
        return "name" in changed

    def create(self, name: str, inputs: Inputs) -> Created:
        """Make the schedule."""
        schedule = inputs.get("name") or name
        self._context.client("scheduler").create_schedule(Name=schedule, **self._values(inputs))
        return schedule, {"arn": arn("scheduler", f"schedule/default/{schedule}"), "name": schedule}

    def update(self, identifier: str, old: Inputs, new: Inputs) -> dict[str, Any]:
        """Change its rate or target."""
        del old
        self._context.client("scheduler").update_schedule(Name=identifier, **self._values(new))
        return {}

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """Its rate."""

        def look() -> Inputs:
            found = self._context.client("scheduler").get_schedule(Name=identifier)
            return {**inputs, "scheduleExpression": found["ScheduleExpression"], "state": found["State"]}

        return found_by(look)

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it."""
        try:
            self._context.client("scheduler").delete_schedule(Name=identifier)
        except ClientError as error:
            if not is_gone(error):
                raise

    def _values(self, inputs: Inputs) -> dict[str, Any]:
        target = inputs["target"]
        return {
            "ScheduleExpression": inputs["scheduleExpression"],
            "State": inputs.get("state") or "ENABLED",
            "FlexibleTimeWindow": {"Mode": inputs["flexibleTimeWindow"]["mode"]},
            "Target": {"Arn": target["arn"], "RoleArn": target["roleArn"], "Input": target["input"]},
        }
