"""The one container image, by digest: built and pushed to its repository, or given by ``receipts:imageUri``."""

import json
import re

import pulumi
import pulumi_docker_build as docker_build

from stack import aws
from stack.limits import partition_of
from stack.naming import physical_name, tags
from stack.permissions import account_id

PLATFORM = docker_build.Platform.LINUX_AMD64
"""The functions and the task are x86_64; the pinned wheels are tried on it."""

ECR_REGISTRY = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")
"""Amazon ECR user guide, Registries."""
UNTAGGED_IMAGES_KEPT = 20
LIFECYCLE = {
    "rules": [
        {
            "rulePriority": 1,
            "description": "Images with a tag stay: the newest one, which runs, and those that were promoted",
            "selection": {
                "tagStatus": "untagged",
                "countType": "imageCountMoreThan",
                "countNumber": UNTAGGED_IMAGES_KEPT,
            },
            "action": {"type": "expire"},
        }
    ]
}
"""An image loses its tag to the next build. Functions and tasks run the newest one, or, after an update that failed,
one of the last few; an image that another stack runs by ``receipts:imageUri`` needs a tag of its own (docs/deploy.md).
"""


def repository_arn(image_uri: pulumi.Input[str], region: str) -> pulumi.Output[str]:
    """The repository of an image: that of its own registry, or of this account where the registry is not of ECR."""
    return pulumi.Output.all(uri=image_uri, account=account_id()).apply(
        lambda known: _repository_arn(known["uri"], region, known["account"])
    )


def _repository_arn(uri: str, region: str, account: str) -> str:
    registry, _, repository = uri.split("@", maxsplit=1)[0].partition("/")
    if found := ECR_REGISTRY.fullmatch(registry):
        account, region = found["account"], found["region"]
    return f"arn:{partition_of(region)}:ecr:{region}:{account}:repository/{repository}"


class ContainerImage(pulumi.ComponentResource):
    """Repository and image; ``uri`` is ``<repository>@sha256:<digest>``.

    Args:
        name: of the component.
        given: an image by digest; None builds one.
        protect: keep the repository, and so its stack, while it holds images that Pulumi did not make.
    """

    uri: pulumi.Output[str]

    def __init__(
        self, name: str, given: str | None, *, protect: bool, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("receipts:stack:ContainerImage", name, None, opts)
        self.uri = pulumi.Output.from_input(given) if given is not None else self._build(name, protect=protect)
        self.register_outputs({"uri": self.uri})

    def _build(self, name: str, *, protect: bool) -> pulumi.Output[str]:
        child = pulumi.ResourceOptions(parent=self)
        repository = aws.ecr.Repository(
            f"{name}-repository",
            name=physical_name("pipeline"),
            image_tag_mutability="MUTABLE",
            # Only the newest image is a resource of Pulumi's: the others would stop a deletion.
            force_delete=not protect,
            image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
            tags=tags(),
            opts=child,
        )
        aws.ecr.LifecyclePolicy(
            f"{name}-lifecycle", repository=repository.name, policy=json.dumps(LIFECYCLE), opts=child
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
