"""May a program receive from a queue? Read from the access policies that the stack shows.

A condition is weighed only where a queue's own policy says by it whom it is about (``principals.py``). Otherwise
what is allowed on a condition counts as allowed, and what is denied on one does not count as denied.

Longer than most modules: one decision, from statements to a verdict, that is read in one piece.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import chain
from typing import Any, Final

from one_consumer.pack.graph import UNKNOWN, Graph, Queue, Resource, Unknown, parsed
from one_consumer.pack.knowledge import Knowledge
from one_consumer.pack.principals import WILD, Principal, concerns, each, either, every, holds, is_lock, singles_out
from one_consumer.pack.workloads import ROLE, Program

ROLE_POLICY: Final = "aws:iam/rolePolicy:RolePolicy"
MANAGED_POLICY: Final = "aws:iam/policy:Policy"
ATTACHMENTS: Final = (
    ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "role"),
    ("aws:iam/policyAttachment:PolicyAttachment", "roles"),
)
ATTACHED_ONLY: Final = "aws:iam/rolePolicyAttachmentsExclusive:RolePolicyAttachmentsExclusive"
INLINE_ONLY: Final = "aws:iam/rolePoliciesExclusive:RolePoliciesExclusive"
QUEUE_POLICY: Final = "aws:sqs/queuePolicy:QueuePolicy"
TYPES: Final = (
    *(ROLE, ROLE_POLICY, MANAGED_POLICY, ATTACHED_ONLY, INLINE_ONLY, QUEUE_POLICY),
    *(kind for kind, _ in ATTACHMENTS),
)
RECEIVE, SEND = "sqs:receivemessage", "sqs:sendmessage"
OF_AWS: Final = ":iam::aws:policy/"
RECEIVING_POLICIES: Final = (
    "AdministratorAccess",
    "PowerUserAccess",
    "AmazonSQSFullAccess",
    "service-role/AWSLambdaSQSQueueExecutionRole",
)
"""Those of AWS's own policies that allow receiving from any queue
(https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html)."""


class Right(IntEnum):
    """Why a program may receive, the surest last."""

    POSSIBLE = 1
    """A word of the program may be the queue's name or another thing's; or who is let in cannot be read."""
    NOT_YET_KNOWN = 2
    """A policy, the role or the program's words are unknown before the update, and may be about the queue."""
    UNSEEN = 3
    """The program knows the queue, and its rights are not in the stack."""
    RECEIVES = 4
    """A policy says so."""
    SPELLED = 5
    """A policy of its role names ``sqs:ReceiveMessage`` and this queue, without a wildcard."""

    @property
    def proven(self) -> bool:
        """Is it enough to stop an update?"""
        return self >= Right.UNSEEN


@dataclass(frozen=True)
class Document:
    """An access policy.

    Attributes:
        statements: None when there are none to read.
        made_of: URNs that the text is made of.
        unknown: is there a text that is not known before the update, or whose changes are ignored?
        shown: does the queue itself show it, although nothing shows that the program wrote it?
    """

    statements: list[Mapping[str, Any]] | None
    made_of: frozenset[str] = frozenset()
    unknown: bool = False
    shown: bool = False

    @classmethod
    def read(cls, value: Any, made_of: frozenset[str]) -> "Document":
        """Read a policy's JSON."""
        policy = parsed(value)
        statements = each(policy.get("Statement"), Mapping) if isinstance(policy, Mapping) else None
        return cls(statements, made_of)

    @cached_property
    def allowing(self) -> list[Mapping[str, Any]]:
        """Statements that allow receiving, from whatever queue."""
        return self.about(RECEIVE, "Allow")

    @cached_property
    def denying(self) -> list[Mapping[str, Any]]:
        """Statements that deny receiving, from whatever queue."""
        return self.about(RECEIVE, "Deny")

    def about(self, action: str, effect: str) -> list[Mapping[str, Any]]:
        """Statements that allow or deny an action, on whatever queue."""
        return [item for item in self.statements or () if item.get("Effect") == effect and _is_about(item, action)]


class Access:
    """The access policies of a stack, by the role or queue that has them."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._of_roles: dict[str, list[Document | str]] = defaultdict(list)
        """By URN, or by the name of a role that is not in the stack; a policy that is not in the stack as its ARN."""
        self._of_queues: dict[Queue, list[Document]] = defaultdict(list)
        for policy in graph.of(ROLE_POLICY):
            for role in self._roles(policy, "role"):
                self._of_roles[role].append(self._document(policy))
        for kind, holder, policies in (
            *((kind, holder, "policyArn") for kind, holder in ATTACHMENTS),
            (ATTACHED_ONLY, "roleName", "policyArns"),
        ):
            for attachment in graph.of(kind):
                for role in self._roles(attachment, holder):
                    self._attach(role, attachment, policies)
        for policies in graph.of(INLINE_ONLY):
            for role in self._roles(policies, "roleName"):
                self._of_roles[role] += self._unseen_of(policies)
        for role in graph.of(ROLE):
            self._attach(role.urn, role, "managedPolicyArns")
            made_of = graph.made_of(role, "inlinePolicies")
            inline = each(role.value("inlinePolicies"), Mapping)
            self._of_roles[role.urn] += [
                replace(Document.read(policy.get("policy"), made_of), unknown=policy.get("policy") is UNKNOWN)
                for policy in inline
            ]
        for policy in graph.of(QUEUE_POLICY):
            queues = graph.referred_queues(policy, "queueUrl")
            for queue in queues:
                # Before the update it may be another queue's.
                document = self._document(policy)
                self._of_queues[queue].append(document if len(queues) == 1 else replace(document, unknown=True))
        self._attached = set(self._of_queues)
        for queue in graph.queues.values():
            if queue.resource is not None and queue.resource.value("policy") is not None:
                document = self._document(queue.resource)
                # AWS fills it in, so it may be unknown though nobody writes one, or be one that is no longer written.
                written = bool(document.made_of)
                document = replace(document, unknown=document.unknown and written, shown=not written)
                self._of_queues[queue].append(document)
        self._opening = [
            (queue, document)
            for queue, documents in self._of_queues.items()
            for document in documents
            if document.statements is None or document.allowing
        ]
        """The documents of queues that may let somebody receive; most only deny, or let others send."""

    def to_receive(self, programs: Iterable[Program]) -> dict[Queue, Right]:
        """Every queue that these programs may receive from, with their strongest right.

        A role's policy is enough, and so is the queue's own; a denial in either beats both
        (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-using-identity-based-policies.html).
        A right on one queue counts by itself; a right on many, or of everybody, only for those that the program knows.
        Queues that it knows while its rights are not in the stack count too: but for a denial, nothing that a policy is
        shown will ever clear them.
        """
        rights: dict[Queue, Right] = {}
        for program in programs:
            for principal in program.principals:
                for queue, right in self._given_to(principal, program.knowledge):
                    rights[queue] = max(right, rights.get(queue, right))
        return rights

    def may_send(self, principal: Principal, queue: Queue) -> bool | None:
        """May a role send to a queue? None when not all of its policies can be read."""
        policies = self._of_roles[principal.key] if principal.key else []
        for policy in policies:
            if isinstance(policy, Document):
                if any(_names(item, queue) or _covers(item, queue) for item in policy.about(SEND, "Allow")):
                    return True
            elif policy.split(OF_AWS)[-1] in RECEIVING_POLICIES[:3]:
                return True
        readable = all(isinstance(policy, Document) and policy.statements is not None for policy in policies)
        by_queue = any(document.about(SEND, "Allow") for document in self._of_queues.get(queue, ()))
        unread = any(document.statements is None for document in self._of_queues.get(queue, ()))
        return None if principal.resource is None or not readable or by_queue or unread else False

    def _given_to(self, principal: Principal, knowledge: Knowledge) -> Iterator[tuple[Queue, Right]]:
        policies = self._of_roles[principal.key] if principal.key else []
        known = knowledge.queues
        denials = [
            item
            for policy in policies
            if isinstance(policy, Document) and not policy.unknown
            for item in policy.denying
        ]
        meant = (pair for policy in policies for pair in self._named_by(policy))
        by_role = (pair for policy in policies for pair in self._given_by(policy, knowledge))
        by_queue = (
            (queue, right)
            for queue, document in self._opening
            for right in _given_by_queue(document, principal, known.get(queue))
        )
        # Of a role that is not in the stack, more policies may be elsewhere.
        beyond = Right.NOT_YET_KNOWN if principal.unknown else Right.UNSEEN
        unseen = _of_known(known, beyond) if principal.resource is None else ()
        given = chain(by_role, by_queue, unseen)
        # Who was given a right on this very queue is meant to receive: a lock, which changes hands, does not clear it.
        for queue, right, locks in chain(((*pair, True) for pair in given), ((*pair, False) for pair in meant)):
            if not any("Condition" not in item and (_names(item, queue) or _covers(item, queue)) for item in denials):
                denied = self._denied_by_queue(queue, principal, locks=locks)
                if denied is not True:
                    yield queue, right if denied is False else min(right, Right.NOT_YET_KNOWN)

    def _named_by(self, policy: Document | str) -> Iterator[tuple[Queue, Right]]:
        """The queues that one of a role's policies names in allowing to receive."""
        if isinstance(policy, str):
            return
        for item in policy.allowing:
            spelled = RECEIVE in (action.lower() for action in each(item.get("Action"), str))
            right = Right.SPELLED if spelled else Right.RECEIVES
            for text in each(item.get("Resource"), str):
                yield from ((queue, right) for queue in self._graph.queues_named(text))
            if each(item.get("Resource"), Unknown):
                # Some providers show a document in parts, and here the queue is the unknown part.
                tied = self._graph.queues_among(policy.made_of)
                yield from ((queue, right if len(tied) == 1 else Right.NOT_YET_KNOWN) for queue in tied)

    def _given_by(self, policy: Document | str, knowledge: Knowledge) -> Iterator[tuple[Queue, Right]]:
        """What one of a role's policies gives to a program that knows these queues."""
        known = knowledge.queues
        if isinstance(policy, str):
            if OF_AWS not in policy:
                yield from _of_known(known, Right.UNSEEN)
            elif policy.split(OF_AWS)[1] in RECEIVING_POLICIES:
                yield from _of_known(known, Right.RECEIVES)
                if knowledge.opaque:
                    yield from ((queue, Right.NOT_YET_KNOWN) for queue in self._graph.queues.values())
        elif policy.statements is None:
            tied = self._graph.queues_among(policy.made_of)
            if tied:
                # A program that can be read and does not name the queue is no sign that the policy lets it receive.
                yield from ((queue, Right.NOT_YET_KNOWN) for queue in tied if queue in known or not knowledge.readable)
            elif policy.unknown:
                # A document that was looked up (``get_policy_document_output``) is tied to nothing.
                yield from _of_known(known, Right.NOT_YET_KNOWN)
        else:
            for item in policy.allowing:
                covered = {queue: sure for queue, sure in known.items() if _covers(item, queue)}
                yield from _of_known(covered, Right.RECEIVES)
                if knowledge.opaque:
                    covered_too = (queue for queue in self._graph.queues.values() if _covers(item, queue))
                    yield from ((queue, Right.NOT_YET_KNOWN) for queue in covered_too)

    def _denied_by_queue(self, queue: Queue, principal: Principal, *, locks: bool) -> bool | None:
        """Does the queue's policy keep a role from receiving? None when that is unknown, or not yet known.

        With ``locks``, also by a denial for everybody but some.

        A queue has one policy. Where a resource beside the queue sets it, what the queue shows is not asked.
        """
        documents = [item for item in self._of_queues.get(queue, ()) if not item.shown or queue not in self._attached]
        return every(_denies(document, queue, principal, locks=locks) for document in documents) if documents else False

    def _roles(self, holder: Resource, name: str) -> list[str]:
        """Keys of the roles that a policy is attached to: URNs, and names of those that are not in the stack."""
        inside = [role.urn for role in self._graph.referred(holder, name, ROLE)]
        outside = [text for text in holder.texts(name) if not self._graph.named(text, ROLE)]
        return inside + [text.rsplit("/", 1)[-1] for text in outside]

    def _attach(self, role: str, holder: Resource, name: str) -> None:
        policies = self._graph.referred(holder, name, MANAGED_POLICY)
        outside = [text for text in holder.texts(name) if not any(policy.is_named_by(text) for policy in policies)]
        self._of_roles[role] += [*map(self._document, policies), *outside]
        value = holder.value(name)
        if not policies and (value is UNKNOWN or (isinstance(value, list) and UNKNOWN in value)):
            self._of_roles[role].append(Document(None, unknown=True))

    def _unseen_of(self, policies: Resource) -> list[str]:
        """Those of a role's inline policies that are listed by names, and written nowhere in the stack."""
        written = {policy.text("name") for policy in self._graph.of(ROLE_POLICY)}
        written |= {
            policy.get("name")
            for role in self._graph.of(ROLE)
            for policy in each(role.value("inlinePolicies"), Mapping)
            if isinstance(policy.get("name"), str)
        }
        return [text for text in policies.texts("policyNames") if text not in written]

    def _document(self, holder: Resource) -> Document:
        document = Document.read(holder.value("policy"), self._graph.made_of(holder, "policy"))
        return replace(document, unknown=holder.switch("policy") is UNKNOWN)


def _denies(document: Document, queue: Queue, principal: Principal, *, locks: bool) -> bool | None:
    if document.unknown:
        return None if locks else False
    denied = either(
        every((concerns(item, principal), holds(item, principal, otherwise=False)))
        for item in document.denying
        if (_names(item, queue) or _covers(item, queue)) and (locks or not is_lock(item))
    )
    return None if denied and document.shown else denied


def _given_by_queue(document: Document, principal: Principal, known: bool | None) -> Iterator[Right]:
    """What a queue's policy gives to a role whose program knows the queue, may know it, or does not (None)."""
    if document.statements is None:
        named = principal.resource is not None and principal.resource.urn in document.made_of
        if named or (known and document.unknown):
            yield Right.NOT_YET_KNOWN
    for item in document.allowing:
        allowed = every((concerns(item, principal), holds(item, principal, otherwise=True)))
        if allowed and (known or singles_out(item)):
            yield Right.RECEIVES
        elif allowed is not False and known is not None:
            yield Right.POSSIBLE


def _of_known(known: Mapping[Queue, bool], right: Right) -> Iterator[tuple[Queue, Right]]:
    """A right on many queues, for those that the program knows; a word that may mean another thing proves none."""
    yield from ((queue, right if sure else Right.POSSIBLE) for queue, sure in known.items())


def _is_about(statement: Mapping[str, Any], wanted: str) -> bool:
    if "NotAction" in statement:
        return not any(fnmatchcase(wanted, action.lower()) for action in each(statement["NotAction"], str))
    return any(fnmatchcase(wanted, action.lower()) for action in each(statement.get("Action"), str))


def _names(statement: Mapping[str, Any], queue: Queue) -> bool:
    return any(queue.is_named_by(item) for item in each(statement.get("Resource"), str))


def _covers(statement: Mapping[str, Any], queue: Queue) -> bool:
    if "NotResource" in statement:
        return not any(queue.is_covered_by(item) for item in each(statement["NotResource"], str))
    patterns = [item for item in each(statement.get("Resource"), str) if WILD.search(item)]
    return any(queue.is_covered_by(item) for item in patterns)
