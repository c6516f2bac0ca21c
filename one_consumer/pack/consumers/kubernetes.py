"""Pods of Kubernetes with a role of AWS: by IRSA (an annotation of the service account) or by EKS Pod Identity.

https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html,
https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html.
"""

from collections.abc import Iterator
from typing import Any, Final

from one_consumer.pack.graph import UNKNOWN, Graph, Resource
from one_consumer.pack.knowledge import Knowledge, words_of_containers
from one_consumer.pack.principals import Principal
from one_consumer.pack.workloads import ROLE, Program, Workload, principals_of

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
            for holder, role in _roles(graph, resource, account):
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


def _roles(graph: Graph, pod: Resource, account: Any) -> Iterator[tuple[Resource, tuple[Principal, ...]]]:
    """The roles of a pod's service account, with what gives them to it.

    Pulumi makes names up, so an account's is unknown before the update; then it is the one that the pod is made of.
    """
    namespace = _namespace(pod)
    made_of = graph.made_of(pod, "spec") if account is UNKNOWN else frozenset()
    accounts = {
        holder.urn: holder
        for holder in graph.of(SERVICE_ACCOUNT)
        if _may_be(_namespace(holder), namespace) and (holder.urn in made_of or _name(holder) == account)
    }
    names = {account, *map(_name, accounts.values())} - {UNKNOWN}
    for holder in accounts.values():
        yield holder, _principals(graph, holder)
    for holder in graph.of(ASSOCIATION):
        meant = holder.value("serviceAccount") in names or accounts.keys() & graph.made_of(holder, "serviceAccount")
        if meant and _may_be(holder.value("namespace"), namespace):
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


def _name(resource: Resource) -> Any:
    return resource.value("metadata", "name") or resource.name


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
        _may_be(scaler.value("spec", "scaleTargetRef", "name"), _name(resource))
        and scaler.value("spec", "maxReplicaCount") != 0
        for scaler in graph.of(*SCALED_OBJECT)
    )
