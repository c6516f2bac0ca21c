"""Pods of Kubernetes with a role of AWS: by IRSA (an annotation of the service account) or by EKS Pod Identity.

https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html,
https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html.
"""

from collections.abc import Iterator
from typing import Any, Final

from policy.graph import UNKNOWN, Graph, Resource
from policy.knowledge import Knowledge, words_of_containers
from policy.principals import Principal
from policy.workloads import ROLE, Program, Workload, principals_of

SERVICE_ACCOUNT: Final = "kubernetes:core/v1:ServiceAccount"
POD: Final = "kubernetes:core/v1:Pod"
ASSOCIATION: Final = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
SCALED_OBJECT: Final = ("kubernetes:keda.sh/v1alpha1:ScaledObject", "kubernetes:keda.sh/v1alpha1:ScaledJob")
CONTROLLERS: Final = (
    *(f"kubernetes:apps/v1:{kind}" for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")),
    "kubernetes:batch/v1:Job",
)
CRON_JOB: Final = "kubernetes:batch/v1:CronJob"
TYPES: Final = (SERVICE_ACCOUNT, POD, ASSOCIATION, *SCALED_OBJECT, *CONTROLLERS, CRON_JOB)
ROLE_ANNOTATION: Final = "eks.amazonaws.com/role-arn"
DEFAULT: Final = "default"
"""The namespace and the service account of a pod that names none."""
TEMPLATE: Final = ("spec", "template", "spec")


def workloads(graph: Graph) -> Iterator[Workload]:
    """Pods and what makes them, and pod identities whose pods the stack does not show."""
    shown: set[str] = set()
    for kind, path in (
        (POD, ("spec",)),
        *((kind, TEMPLATE) for kind in CONTROLLERS),
        (CRON_JOB, ("spec", "jobTemplate", *TEMPLATE)),
    ):
        for resource in graph.of(kind):
            account = resource.value(*path, "serviceAccountName") or DEFAULT
            principals = []
            for holder, role in _roles(graph, _namespace(resource), account):
                shown.add(holder.urn)
                principals += role
            if _may_run(graph, resource) and principals:
                containers = [resource.value(*path, key) for key in ("containers", "initContainers")]
                words = (word for item in containers for word in words_of_containers(item))
                knowledge = Knowledge.of(graph, resource, "spec", containers, words)
                what = f"Kubernetes {kind.rsplit(':', 1)[-1]}"
                yield Workload(resource=resource, what=what, programs=(Program(tuple(principals), knowledge),))
    for holder in graph.of(SERVICE_ACCOUNT, ASSOCIATION):
        if holder.urn not in shown and (principals := _principals(graph, holder)):
            what = "pod identity" if holder.type == ASSOCIATION else "Kubernetes service account"
            program = Program(tuple(principals), Knowledge(readable=False))
            yield Workload(resource=holder, what=what, programs=(program,), started=False)


def _roles(graph: Graph, namespace: Any, account: Any) -> Iterator[tuple[Resource, tuple[Principal, ...]]]:
    """The roles of a service account, with what gives them to it; a name that is unknown may be any."""
    for holder in graph.of(SERVICE_ACCOUNT, ASSOCIATION):
        of_association = holder.type == ASSOCIATION
        name = holder.value("serviceAccount") if of_association else holder.value("metadata", "name") or holder.name
        space = holder.value("namespace") if of_association else _namespace(holder)
        if _may_be(name, account) and _may_be(space, namespace):
            yield holder, _principals(graph, holder)


def _principals(graph: Graph, holder: Resource) -> tuple[Principal, ...]:
    if holder.type == ASSOCIATION:
        return principals_of(graph, holder, "roleArn")
    path = ("annotations", ROLE_ANNOTATION)
    if holder.value("metadata", *path) is None:
        return ()
    return tuple(Principal(resource=role) for role in graph.referred(holder, "metadata", ROLE, path=path)) or (
        principals_of(graph, holder, "metadata", *path)
    )


def _namespace(resource: Resource) -> Any:
    return resource.value("metadata", "namespace") or DEFAULT


def _may_be(first: Any, second: Any) -> bool:
    return UNKNOWN in (first, second) or first == second


def _may_run(graph: Graph, resource: Resource) -> bool:
    """May it have pods? Not with replicas of a written 0, unless KEDA scales it."""
    ignored = resource.switch("spec") is UNKNOWN
    if ignored or resource.value("spec", "replicas") != 0:
        return resource.value("spec", "suspend") is not True or ignored
    return any(
        _may_be(scaler.value("spec", "scaleTargetRef", "name"), resource.value("metadata", "name") or resource.name)
        and scaler.value("spec", "maxReplicaCount") != 0
        for scaler in graph.of(*SCALED_OBJECT)
    )
