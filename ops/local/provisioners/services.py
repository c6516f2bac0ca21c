"""Clusters, task definitions and services: declared on the emulator, run by the supervisor."""

import json
import sys
from typing import Any

from botocore.exceptions import ClientError

from ops.local.provisioners import Created, Inputs
from ops.local.provisioners.context import arn, rewrite_paths
from ops.local.provisioners.emulated import REVISION, Emulated, found_by, is_gone
from pipeline.files import replace_file


class Cluster(Emulated):
    """aws:ecs:Cluster."""

    computed = ("arn", "name")

    def must_replace(self, changed: list[str]) -> bool:
        """The name is for ever."""
        return "name" in changed

    def create(self, name: str, inputs: Inputs) -> Created:
        """Make the cluster."""
        cluster = inputs.get("name") or name
        answer = self._context.client("ecs").create_cluster(clusterName=cluster)["cluster"]
        return answer["clusterArn"], {"arn": answer["clusterArn"], "name": cluster}

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it."""
        try:
            self._context.client("ecs").delete_cluster(cluster=identifier)
        except ClientError as error:
            if not is_gone(error):
                raise


class TaskDefinition(Emulated):
    """aws:ecs:TaskDefinition; every change is a new revision, which has its family's name."""

    computed = ("arn", "revision")
    name_input = ""

    def derived(self, inputs: Inputs) -> Inputs:
        """The code's digest, as for functions."""
        del inputs
        return {REVISION: self._context.source_revision}

    def must_replace(self, changed: list[str]) -> bool:
        """A revision is immutable."""
        return bool(changed)

    def create(self, name: str, inputs: Inputs) -> Created:
        """Register a revision."""
        answer = self._context.client("ecs").register_task_definition(
            family=inputs.get("family") or name,
            containerDefinitions=json.loads(inputs["containerDefinitions"]),
            requiresCompatibilities=inputs["requiresCompatibilities"],
            networkMode=inputs["networkMode"],
            cpu=str(inputs["cpu"]),
            memory=str(inputs["memory"]),
            taskRoleArn=inputs["taskRoleArn"],
        )["taskDefinition"]
        # The volumes and the code are looked up by this ARN when the service runs.
        definition = self._context.state_directory / "tasks" / f"{answer['revision']}.json"
        definition.parent.mkdir(parents=True, exist_ok=True)
        replace_file(definition, json.dumps(inputs))
        return answer["family"], {"arn": answer["taskDefinitionArn"], "revision": answer["revision"]}


class Service(Emulated):
    """aws:ecs:Service: the desired count becomes that many worker processes; returns in steady state."""

    computed = ("name",)

    def must_replace(self, changed: list[str]) -> bool:
        """Name and cluster are for ever."""
        return bool({"name", "cluster"} & set(changed))

    def create(self, name: str, inputs: Inputs) -> Created:
        """Make the service and its processes."""
        service = inputs.get("name") or name
        self._context.client("ecs").create_service(
            cluster=inputs["cluster"],
            serviceName=service,
            taskDefinition=inputs["taskDefinition"],
            desiredCount=int(inputs["desiredCount"]),
            launchType="FARGATE",
        )
        self._run(service, inputs)
        return arn("ecs", f"service/{inputs['cluster'].rsplit('/', 1)[-1]}/{service}"), {"name": service}

    def update(self, identifier: str, old: Inputs, new: Inputs) -> dict[str, Any]:
        """Scale or deploy; the old processes are gone before new ones start."""
        del old
        service = identifier.rsplit("/", 1)[-1]
        self._context.client("ecs").update_service(
            cluster=new["cluster"],
            service=service,
            taskDefinition=new["taskDefinition"],
            desiredCount=int(new["desiredCount"]),
        )
        self._run(service, new)
        return {}

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """Its desired count."""
        service = identifier.rsplit("/", 1)[-1]

        def look() -> Inputs:
            answer = self._context.client("ecs").describe_services(cluster=inputs["cluster"], services=[service])
            found = next((item for item in answer["services"] if item["status"] == "ACTIVE"), None)
            return {**inputs, "desiredCount": found["desiredCount"]} if found else {}

        return found_by(look) or None

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Stop its processes and remove it."""
        service = identifier.rsplit("/", 1)[-1]
        self._context.supervisor.delete_service(service)
        try:
            self._context.client("ecs").delete_service(cluster=inputs["cluster"], service=service, force=True)
        except ClientError as error:
            if not is_gone(error):
                raise

    def _run(self, service: str, inputs: Inputs) -> None:
        revision = inputs["taskDefinition"].rsplit(":", 1)[-1]
        task = json.loads((self._context.state_directory / "tasks" / f"{revision}.json").read_text())
        (container,) = json.loads(task["containerDefinitions"])
        volumes = {volume["name"]: volume for volume in task.get("volumes", [])}
        places = {}
        for mount in container.get("mountPoints", []):
            efs = volumes[mount["sourceVolume"]].get("efsVolumeConfiguration")
            places[mount["containerPath"]] = (
                self._context.file_system(efs["authorizationConfig"]["accessPointId"])
                if efs
                else self._context.state_directory / "services" / service / mount["sourceVolume"]
            )
        variables = {item["name"]: item["value"] for item in container["environment"]}
        command = [*container["entryPoint"], *container.get("command", [])]
        self._context.supervisor.put_service(
            {
                "name": service,
                "command": [sys.executable if command[0] == "python" else command[0], *command[1:]],
                "environment": {**rewrite_paths(variables, places), **self._context.process_environment()},
                "desired_count": int(inputs["desiredCount"]),
                "stop_timeout_seconds": float(container["stopTimeout"]),
                "revision": f"{inputs['taskDefinition']} {task.get(REVISION)}",
            }
        )
