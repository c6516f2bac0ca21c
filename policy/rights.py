"""May a service's tasks receive from a queue? Read from the access policies that the stack shows.

A condition in a policy is not weighed: what is allowed on a condition counts as allowed.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

from policy.graph import Graph, Queue, Resource, parsed

ROLE: Final = "aws:iam/role:Role"
ROLE_POLICY: Final = "aws:iam/rolePolicy:RolePolicy"
MANAGED_POLICY: Final = "aws:iam/policy:Policy"
ATTACHMENTS: Final = (
    ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "role"),
    ("aws:iam/policyAttachment:PolicyAttachment", "roles"),
)
QUEUE_POLICY: Final = "aws:sqs/queuePolicy:QueuePolicy"
RECEIVE: Final = "sqs:receivemessage"
OF_AWS: Final = ":iam::aws:policy/"
RECEIVING_POLICIES: Final = (
    "AdministratorAccess",
    "PowerUserAccess",
    "AmazonSQSFullAccess",
    "service-role/AWSLambdaSQSQueueExecutionRole",
)
"""Those of AWS's own policies that allow receiving from any queue
(https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html)."""


Kind = TypeVar("Kind")


class Right(IntEnum):
    """Why a task may receive, the surest last."""

    NOT_YET_KNOWN = 1
    """A policy is made of the queue, and its text is unknown before the update."""
    UNSEEN = 2
    """The containers know the queue, and their rights are not in the stack."""
    RECEIVES = 3
    """A policy says so."""


@dataclass(frozen=True)
class Document:
    """An access policy: its statements, or None and the URNs that the unknown text is made of."""

    statements: list[Mapping[str, Any]] | None
    made_of: frozenset[str] = frozenset()

    @classmethod
    def read(cls, value: Any, made_of: frozenset[str]) -> "Document":
        """Read a policy's JSON."""
        policy = parsed(value)
        return cls(_each(policy.get("Statement"), Mapping) if isinstance(policy, Mapping) else None, made_of)

    def about_receiving(self, effect: str) -> list[Mapping[str, Any]]:
        """Statements that allow or deny receiving, from whatever queue."""
        return [item for item in self.statements or () if item.get("Effect") == effect and _is_about_receiving(item)]


class Access:
    """The access policies of a stack, by the role or queue that has them."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._of_roles: dict[str, list[Document | str]] = defaultdict(list)
        """By URN; a policy that is not in the stack as its ARN."""
        self._of_queues: list[tuple[Queue, Document]] = []
        for policy in graph.of(ROLE_POLICY):
            for role in graph.referred(policy, "role", ROLE):
                self._of_roles[role.urn].append(self._document(policy))
        for kind, holder in ATTACHMENTS:
            for attachment in graph.of(kind):
                for role in graph.referred(attachment, holder, ROLE):
                    self._attach(role, attachment, "policyArn")
        for role in graph.of(ROLE):
            self._attach(role, role, "managedPolicyArns")
            made_of = graph.made_of(role, "inlinePolicies")
            inline = _each(role.value("inlinePolicies"), Mapping)
            self._of_roles[role.urn] += [Document.read(policy.get("policy"), made_of) for policy in inline]
        for policy in graph.of(QUEUE_POLICY):
            for queue in graph.referred_queues(policy, "queueUrl"):
                self._of_queues.append((queue, self._document(policy)))
        for queue in graph.queues.values():
            if queue.resource is not None and queue.resource.value("policy") is not None:
                self._of_queues.append((queue, self._document(queue.resource)))

    def to_receive(self, tasks: Iterable[Resource]) -> dict[Queue, Right]:
        """Every queue that tasks of these definitions may receive from, with their strongest right.

        A role's policy is enough, and so is the queue's own
        (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-using-identity-based-policies.html).
        A right on one queue counts by itself, a right on many only for those that the containers know. Queues that they
        know while their rights are not in the stack count too: nothing that a policy is shown will ever clear them.
        """
        rights: dict[Queue, Right] = {}
        for task in tasks:
            known = self._known_queues(task)
            roles = self._graph.referred(task, "taskRoleArn", ROLE)
            given = [pair for role in roles for pair in self._given_to(role, known)]
            for queue, right in given if roles else [(queue, Right.UNSEEN) for queue in known]:
                rights[queue] = max(right, rights.get(queue, right))
        return rights

    def _given_to(self, role: Resource, known: list[Queue]) -> Iterator[tuple[Queue, Right]]:
        policies = self._of_roles[role.urn]
        denials = [
            item for policy in policies if isinstance(policy, Document) for item in policy.about_receiving("Deny")
        ]
        by_role = (pair for policy in policies for pair in self._given_by(policy, known))
        by_queue = ((queue, _right_of_principal(policy, role)) for queue, policy in self._of_queues)
        for queue, right in (*by_role, *by_queue):
            denied = any("Condition" not in item and (_names(item, queue) or _covers(item, queue)) for item in denials)
            if right is not None and not denied:
                yield queue, right

    def _given_by(self, policy: Document | str, known: list[Queue]) -> Iterator[tuple[Queue, Right]]:
        """What one of a role's policies gives to containers that know these queues."""
        if isinstance(policy, str):
            if OF_AWS not in policy:
                yield from ((queue, Right.UNSEEN) for queue in known)
            elif policy.split(OF_AWS)[1] in RECEIVING_POLICIES:
                yield from ((queue, Right.RECEIVES) for queue in known)
        elif policy.statements is None:
            yield from ((queue, Right.NOT_YET_KNOWN) for queue in self._graph.queues_among(policy.made_of))
        else:
            for item in policy.about_receiving("Allow"):
                named = [queue for text in _each(item.get("Resource"), str) for queue in self._graph.queues_named(text)]
                covered = [queue for queue in known if _covers(item, queue)]
                yield from ((queue, Right.RECEIVES) for queue in (*named, *covered))

    def _known_queues(self, task: Resource) -> list[Queue]:
        """Queues among the containers' variables and arguments."""
        containers = parsed(task.value("containerDefinitions"))
        if not isinstance(containers, list):
            return self._graph.queues_among(self._graph.made_of(task, "containerDefinitions"))
        words = {word for container in _each(containers, Mapping) for word in _words(container)}
        return [queue for word in sorted(words) for queue in self._graph.queues_named(word)]

    def _attach(self, role: Resource, holder: Resource, name: str) -> None:
        policies = self._graph.referred(holder, name, MANAGED_POLICY)
        outside = [text for text in holder.texts(name) if not any(policy.is_named_by(text) for policy in policies)]
        self._of_roles[role.urn] += [*map(self._document, policies), *outside]

    def _document(self, holder: Resource) -> Document:
        return Document.read(holder.value("policy"), self._graph.made_of(holder, "policy"))


def _right_of_principal(policy: Document, role: Resource) -> Right | None:
    if policy.statements is None:
        return Right.NOT_YET_KNOWN if role.urn in policy.made_of else None
    principals = _each([item.get("Principal") for item in policy.about_receiving("Allow")], Mapping)
    names = [name for item in principals for name in _each(item.get("AWS"), str)]
    return Right.RECEIVES if any(role.is_named_by(name) for name in names) else None


def _words(container: Mapping[str, Any]) -> Iterator[str]:
    variables = [variable.get("value") for variable in _each(container.get("environment"), Mapping)]
    for text in (*variables, *_each(container.get("command"), str), *_each(container.get("entryPoint"), str)):
        yield from re.split(r"[\s=,;'\"]+", str(text))


def _is_about_receiving(statement: Mapping[str, Any]) -> bool:
    if "NotAction" in statement:
        return not any(fnmatchcase(RECEIVE, action.lower()) for action in _each(statement["NotAction"], str))
    return any(fnmatchcase(RECEIVE, action.lower()) for action in _each(statement.get("Action"), str))


def _names(statement: Mapping[str, Any], queue: Queue) -> bool:
    return any(queue.is_named_by(item) for item in _each(statement.get("Resource"), str))


def _covers(statement: Mapping[str, Any], queue: Queue) -> bool:
    if "NotResource" in statement:
        return not any(queue.is_covered_by(item) for item in _each(statement["NotResource"], str))
    patterns = [item for item in _each(statement.get("Resource"), str) if re.search(r"[*?]", item)]
    return any(queue.is_covered_by(item) for item in patterns)


def _each(value: Any, kind: type[Kind]) -> list[Kind]:
    """One or many, as IAM writes them, as many; what is of another kind is none."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, kind)]
