"""The one container image, by digest: built and pushed to its repository, or given by ``receipts:imageUri``."""

import pulumi
import pulumi_docker_build as docker_build

from stack import aws
from stack.naming import physical_name, tags

PLATFORM = docker_build.Platform.LINUX_AMD64
"""The functions and the task are x86_64; the pinned wheels are tried on it."""


class ContainerImage(pulumi.ComponentResource):
    """Repository and image; ``uri`` is ``<repository>@sha256:<digest>``."""

    uri: pulumi.Output[str]

    def __init__(self, name: str, given: str | None, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("receipts:stack:ContainerImage", name, None, opts)
        self.uri = pulumi.Output.from_input(given) if given is not None else self._build(name)
        self.register_outputs({"uri": self.uri})

    def _build(self, name: str) -> pulumi.Output[str]:
        child = pulumi.ResourceOptions(parent=self)
        repository = aws.ecr.Repository(
            f"{name}-repository",
            name=physical_name("pipeline"),
            image_tag_mutability="MUTABLE",
            image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
            tags=tags(),
            opts=child,
        )
        login = aws.ecr.get_authorization_token_output(
            registry_id=repository.registry_id, opts=pulumi.InvokeOutputOptions(parent=self)
        )
        image = docker_build.Image(
            f"{name}-build",
            push=True,
            # A preview needs neither Docker nor the right to push; a context that has changed shows as an update.
            build_on_preview=False,
            tags=[pulumi.Output.concat(repository.repository_url, ":latest")],
            context=docker_build.BuildContextArgs(location="."),
            dockerfile=docker_build.DockerfileArgs(location="Dockerfile"),
            platforms=[PLATFORM],
            registries=[
                docker_build.RegistryArgs(
                    address=repository.repository_url,
                    username=login.user_name,
                    password=pulumi.Output.secret(login.password),
                )
            ],
            opts=child,
        )
        return pulumi.Output.concat(repository.repository_url, "@", image.digest)
