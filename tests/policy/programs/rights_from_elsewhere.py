"""Pollers whose right to receive is not in a policy of their role: attached, inline, on the queue, or out of sight."""

import pulumi
import pulumi_aws as aws

from tests.policy.parts import RECEIVE, TRUST, allow, document, mapping, role, service


def queue(name: str) -> aws.sqs.Queue:
    made = aws.sqs.Queue(name)
    mapping(f"{name}-mapping", made.arn)
    return made


attached = queue("attached")
policy = aws.iam.Policy("policy", policy=document(allow("sqs:Receive*", attached.arn)))
attached_role = role("attached-role")
aws.iam.RolePolicyAttachment("attachment", role=attached_role.name, policy_arn=policy.arn)
service("attached-service", task_role=attached_role.arn, desired_count=1)

listed = queue("listed")
listed_policy = aws.iam.Policy("listed-policy", policy=document(allow("sqs:*", listed.arn)))
listed_role = role("listed-role")
aws.iam.PolicyAttachment("listed-attachment", roles=[listed_role.name], policy_arn=listed_policy.arn)
service("listed-service", task_role=listed_role.arn, desired_count=1)

inline = queue("inline")
inline_role = aws.iam.Role(
    "inline-role",
    assume_role_policy=TRUST,
    inline_policies=[{"name": "any", "policy": document(allow("sqs:*", inline.arn))}],
)
service("inline-service", task_role=inline_role.arn, desired_count=1)

opened = queue("opened")
opened_role = role("opened-role")
right = {**allow(RECEIVE, opened.arn), "Principal": {"AWS": opened_role.arn}}
aws.sqs.QueuePolicy("opened-policy", queue_url=opened.url, policy=document(right))
service("opened-service", task_role=opened_role.arn, desired_count=1)

inlined_role = role("inlined-role")
inlined = aws.sqs.Queue("inlined", policy=document({**allow(RECEIVE, "*"), "Principal": {"AWS": inlined_role.arn}}))
mapping("inlined-mapping", inlined.arn)
service("inlined-service", task_role=inlined_role.arn, desired_count=1)

managed = queue("managed")
managed_role = role("managed-role", managed_policy_arns=["arn:aws:iam::aws:policy/AmazonSQSFullAccess"])
service("managed-service", {"QUEUE_URL": managed.url}, task_role=managed_role.arn, desired_count=1)

every = queue("every")
every_role = role("every-role", allow("*", "*"))
service("every-service", {"QUEUE": pulumi.Output.concat("url=", every.url)}, task_role=every_role.arn, desired_count=1)

others = queue("others")
others_role = role("others-role", {"Effect": "Allow", "NotAction": ["iam:*"], "NotResource": ["arn:aws:s3:::*"]})
service("others-service", command=["poll", others.url], task_role=others_role.arn, desired_count=1)

hardly = queue("hardly")
by_night = {"DateLessThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}
hardly_role = role("hardly-role", allow(RECEIVE, hardly.arn), allow("*", "*", effect="Deny", Condition=by_night))
service("hardly-service", task_role=hardly_role.arn, desired_count=1)

customer = queue("customer")
customer_role = role("customer-role", managed_policy_arns=["arn:aws:iam::000000000000:policy/platform"])
service("customer-service", {"QUEUE_URL": customer.url}, task_role=customer_role.arn, desired_count=1)

outside = queue("outside")
service(
    "outside-service",
    {"QUEUE_URL": outside.url},
    task_role="arn:aws:iam::000000000000:role/platform",
    desired_count=1,
)

# Everybody may receive, and the containers know where.
for name, principal in (("public", "*"), ("public-listed", {"AWS": ["*"]})):
    public = queue(name)
    public_right = {"Effect": "Allow", "Principal": principal, "Action": RECEIVE, "Resource": "*"}
    aws.sqs.QueuePolicy(f"{name}-policy", queue_url=public.url, policy=document(public_right))
    service(f"{name}-service", {"QUEUE_URL": public.url}, task_role=role(f"{name}-role").arn, desired_count=1)

# Everybody in the policy, one role by its condition.
singled = queue("singled")
singled_role = role("singled-role")
only = {"ArnEquals": {"aws:PrincipalArn": singled_role.arn}}
singled_right = {**allow("sqs:*", singled.arn, Condition=only), "Principal": "*"}
aws.sqs.QueuePolicy("singled-policy", queue_url=singled.url, policy=document(singled_right))
service("singled-service", task_role=singled_role.arn, desired_count=1)

# A role that is not in the stack, and policies of it that are; its containers do not name the queue.
by_name = queue("by-name")
aws.iam.RolePolicy("by-name-policy", role="shared", policy=document(allow(RECEIVE, by_name.arn)))
service("by-name-service", task_role="arn:aws:iam::000000000000:role/teams/shared", desired_count=1)

by_bare_name = queue("by-bare-name")
bare_policy = aws.iam.Policy("bare-policy", policy=document(allow(RECEIVE, by_bare_name.arn)))
aws.iam.RolePolicyAttachment("bare-attachment", role="bare", policy_arn=bare_policy.arn)
service("by-bare-name-service", task_role="bare", desired_count=1)

# Policies that a role has only, as a list of them says.
exclusive = queue("exclusive")
exclusive_policy = aws.iam.Policy("exclusive-policy", policy=document(allow(RECEIVE, exclusive.arn)))
exclusive_role = role("exclusive-role")
aws.iam.RolePolicyAttachmentsExclusive(
    "exclusive-attachments", role_name=exclusive_role.name, policy_arns=[exclusive_policy.arn]
)
service("exclusive-service", task_role=exclusive_role.arn, desired_count=1)

exclusive_inline = queue("exclusive-inline")
inline_only_role = role("inline-only-role")
aws.iam.RolePoliciesExclusive("inline-only", role_name=inline_only_role.name, policy_names=["written-elsewhere"])
service(
    "exclusive-inline-service", {"QUEUE_URL": exclusive_inline.url}, task_role=inline_only_role.arn, desired_count=1
)

without = queue("without")
service("without-service", {"QUEUE_URL": without.url}, desired_count=1)
