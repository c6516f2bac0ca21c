"""Where things are kept: the two buckets, the table, the collections on EFS, the key's container."""

from dataclasses import dataclass

import pulumi

from stack import aws
from stack.naming import BUCKET_PREFIX_LIMIT, physical_name, tags
from stack.network import Network
from stack.permissions import Statement, document, refuse_without_tls

DELTA_RETENTION_DAYS = 90
"""A message waits up to 14 days in its queue and 14 in the dead letter queue; a redrive must find its delta."""
UNFINISHED_UPLOAD_DAYS = 7
SECRET_RECOVERY_DAYS = 30
"""The longest (AWS Secrets Manager API reference, DeleteSecret): the key of a protected stack can be brought back."""
OLD_OBJECT_DAYS = 30
OLD_VERSION_DAYS = 1
"""Of a replaced version of a collection: it is deleted only after its readers had time to leave it. Of two rules that
overlap S3 follows the shorter (Amazon S3 user guide, lifecycle-conflicts). Versions of 165 MB that are published every
five minutes would be 1.4 TB for each collection if they were kept for 30 days."""
COLLECTIONS_USER = 1000
"""The POSIX user of the access point; the image's user, too."""
COLLECTIONS = ("lines", "words")


@dataclass(frozen=True, kw_only=True)
class StorageArgs:
    """Storage.

    Attributes:
        protect: refuse to delete the buckets, the table and the file system; otherwise everything goes with the stack,
            at once.
        keep_secret: make a container for the OpenAI key; its value is never a setting.
    """

    network: Network
    protect: bool
    keep_secret: bool


class Storage(pulumi.ComponentResource):
    """Buckets, table, file system, secret."""

    artifacts: aws.s3.Bucket
    vectors: aws.s3.Bucket
    table: aws.dynamodb.Table
    file_system: aws.efs.FileSystem

    def __init__(self, name: str, args: StorageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("receipts:stack:Storage", name, None, opts)
        self._name, self._args = name, args
        child = pulumi.ResourceOptions(parent=self)
        kept = pulumi.ResourceOptions(parent=self, protect=args.protect)
        self.artifacts = self._bucket("artifacts")
        self.vectors = self._bucket(
            "vectors",
            expiring=tuple(f"{item}/delta/" for item in COLLECTIONS),
            replaced=tuple(f"{item}/versions/" for item in COLLECTIONS),
        )
        self.table = aws.dynamodb.Table(
            f"{name}-table",
            name=physical_name("runs"),
            billing_mode="PAY_PER_REQUEST",
            hash_key="PK",
            range_key="SK",
            attributes=[
                aws.dynamodb.TableAttributeArgs(name=attribute, type="S")
                for attribute in ("PK", "SK", "unfinished_state", "created_at")
            ],
            # The provider takes either spelling of an index's keys; ops/local reads this, the older one.
            global_secondary_indexes=[
                {
                    "name": "unfinished-runs",
                    "hash_key": "unfinished_state",
                    "range_key": "created_at",
                    "projection_type": "ALL",
                }
            ],
            stream_enabled=True,
            stream_view_type="NEW_IMAGE",
            ttl=aws.dynamodb.TableTtlArgs(attribute_name="expires_at", enabled=True),
            point_in_time_recovery=aws.dynamodb.TablePointInTimeRecoveryArgs(enabled=True),
            # Encrypted with DynamoDB's own key, which costs nothing; the setting would choose a key of KMS, billed by
            # the call (Amazon DynamoDB developer guide, encryption.howitworks).
            deletion_protection_enabled=args.protect,
            tags=tags(),
            opts=kept,
        )
        self.file_system = aws.efs.FileSystem(
            f"{name}-collections", encrypted=True, throughput_mode="elastic", tags=tags(), opts=kept
        )
        self.access_point = aws.efs.AccessPoint(
            f"{name}-collections-access",
            file_system_id=self.file_system.id,
            posix_user=aws.efs.AccessPointPosixUserArgs(uid=COLLECTIONS_USER, gid=COLLECTIONS_USER),
            root_directory=aws.efs.AccessPointRootDirectoryArgs(
                path="/collections",
                creation_info=aws.efs.AccessPointRootDirectoryCreationInfoArgs(
                    owner_uid=COLLECTIONS_USER, owner_gid=COLLECTIONS_USER, permissions="0750"
                ),
            ),
            tags=tags(),
            opts=child,
        )
        self.mount_targets = [
            aws.efs.MountTarget(
                f"{name}-mount-{zone}",
                file_system_id=self.file_system.id,
                subnet_id=subnet.id,
                security_groups=[args.network.file_system_group.id],
                opts=child,
            )
            for zone, subnet in args.network.subnets.items()
        ]
        self.secret_arn: pulumi.Output[str] | None = None
        if args.keep_secret:
            self.secret_arn = aws.secretsmanager.Secret(
                f"{name}-openai-api-key",
                # With a prefix: a deleted secret keeps its name until its recovery window ends.
                name_prefix=physical_name("openai-api-key", suffix="-"),
                recovery_window_in_days=SECRET_RECOVERY_DAYS if args.protect else 0,
                description="Put the key here by hand or by your secrets tool; Pulumi never sees it.",
                tags=tags(),
                opts=child,
            ).arn
        self.register_outputs(
            {
                "artifacts": self.artifacts.bucket,
                "vectors": self.vectors.bucket,
                "table": self.table.name,
                "file_system": self.file_system.id,
            }
        )

    def let_in(self, *, writer: aws.iam.Role, reader: aws.iam.Role) -> None:
        """Let two roles use the collections, by the access point and TLS, and no other role; call it once.

        Without a policy EFS gives everything to any client that reaches a mount target, whatever the roles say (Amazon
        EFS user guide, iam-access-control-nfs-efs).
        """
        mount, write = "elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"
        statements: list[Statement] = [
            {
                "Sid": sid,
                "Effect": "Allow",
                "Principal": {"AWS": role.arn},
                "Action": actions,
                "Resource": self.file_system.arn,
                "Condition": {
                    "StringEquals": {"elasticfilesystem:AccessPointArn": self.access_point.arn},
                    "Bool": {"aws:SecureTransport": "true"},
                },
            }
            for sid, role, actions in (("TheMergeWrites", writer, [mount, write]), ("TheWorkerReads", reader, [mount]))
        ]
        actions = ["ClientMount", "ClientWrite", "ClientRootAccess"]
        aws.efs.FileSystemPolicy(
            f"{self._name}-collections-policy",
            file_system_id=self.file_system.id,
            policy=document([*statements, refuse_without_tls("elasticfilesystem", actions, [self.file_system.arn])]),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _bucket(self, part: str, *, expiring: tuple[str, ...] = (), replaced: tuple[str, ...] = ()) -> aws.s3.Bucket:
        name = f"{self._name}-{part}"
        child = pulumi.ResourceOptions(parent=self)
        bucket = aws.s3.Bucket(
            name,
            bucket_prefix=physical_name(part, limit=BUCKET_PREFIX_LIMIT, suffix="-"),
            force_destroy=not self._args.protect,
            tags=tags(),
            opts=pulumi.ResourceOptions(parent=self, protect=self._args.protect),
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=bucket.id,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                        sse_algorithm="AES256"
                    )
                )
            ],
            opts=child,
        )
        versioning = aws.s3.BucketVersioning(
            f"{name}-versioning",
            bucket=bucket.id,
            versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=child,
        )
        closed = aws.s3.BucketPublicAccessBlock(
            f"{name}-closed",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        aws.s3.BucketPolicy(
            f"{name}-tls-only",
            bucket=bucket.id,
            policy=document([refuse_without_tls("s3", ["*"], [bucket.arn, pulumi.Output.concat(bucket.arn, "/*")])]),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[closed]),
        )
        aws.s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            bucket=bucket.id,
            rules=[
                aws.s3.BucketLifecycleConfigurationRuleArgs(
                    id="tidy",
                    status="Enabled",
                    filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    abort_incomplete_multipart_upload=aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                        days_after_initiation=UNFINISHED_UPLOAD_DAYS
                    ),
                    noncurrent_version_expiration=aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                        noncurrent_days=OLD_OBJECT_DAYS
                    ),
                    # What marks a deleted object, once nothing of the object is left.
                    expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(expired_object_delete_marker=True),
                ),
                *(
                    aws.s3.BucketLifecycleConfigurationRuleArgs(
                        id=f"replaced-{prefix.strip('/').replace('/', '-')}",
                        status="Enabled",
                        filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=prefix),
                        noncurrent_version_expiration=aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                            noncurrent_days=OLD_VERSION_DAYS
                        ),
                    )
                    for prefix in replaced
                ),
                *(
                    aws.s3.BucketLifecycleConfigurationRuleArgs(
                        id=f"expire-{prefix.strip('/').replace('/', '-')}",
                        status="Enabled",
                        filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=prefix),
                        expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=DELTA_RETENTION_DAYS),
                    )
                    for prefix in expiring
                ),
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[versioning]),
        )
        return bucket
