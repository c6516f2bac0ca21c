"""Roles and their policies: real on the emulator."""

from typing import Any

from botocore.exceptions import ClientError

from ops.local.provisioners import Created, Inputs
from ops.local.provisioners.emulated import Emulated, document, found_by, is_gone, same_document


class Role(Emulated):
    """aws:iam:Role."""

    computed = ("arn", "name")

    def must_replace(self, changed: list[str]) -> bool:
        """The name is for ever."""
        return "name" in changed

    def create(self, name: str, inputs: Inputs) -> Created:
        """Make the role."""
        role = inputs.get("name") or name
        answer = self._context.client("iam").create_role(
            RoleName=role, AssumeRolePolicyDocument=document(inputs["assumeRolePolicy"])
        )
        return role, {"arn": answer["Role"]["Arn"], "name": role}

    def update(self, identifier: str, old: Inputs, new: Inputs) -> dict[str, Any]:
        """Set who may assume it."""
        del old
        self._context.client("iam").update_assume_role_policy(
            RoleName=identifier, PolicyDocument=document(new["assumeRolePolicy"])
        )
        return {}

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """Who may assume it."""

        def look() -> Inputs:
            found = self._context.client("iam").get_role(RoleName=identifier)["Role"]["AssumeRolePolicyDocument"]
            return {**inputs, "assumeRolePolicy": same_document(inputs["assumeRolePolicy"], document(found))}

        return found_by(look)

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it."""
        try:
            self._context.client("iam").delete_role(RoleName=identifier)
        except ClientError as error:
            if not is_gone(error):
                raise


class RolePolicy(Emulated):
    """aws:iam:RolePolicy."""

    computed = ("name",)

    def must_replace(self, changed: list[str]) -> bool:
        """It belongs to its role, under its name."""
        return bool({"name", "role"} & set(changed))

    def create(self, name: str, inputs: Inputs) -> Created:
        """Write the policy."""
        policy = inputs.get("name") or name
        self._context.client("iam").put_role_policy(
            RoleName=inputs["role"], PolicyName=policy, PolicyDocument=document(inputs["policy"])
        )
        return f"{inputs['role']}:{policy}", {"name": policy}

    def update(self, identifier: str, old: Inputs, new: Inputs) -> dict[str, Any]:
        """Write it again under its name."""
        del old
        self.create(identifier.split(":", 1)[1], new)
        return {}

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """What it allows."""
        role, policy = identifier.split(":", 1)

        def look() -> Inputs:
            found = self._context.client("iam").get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            return {**inputs, "policy": same_document(inputs["policy"], document(found))}

        return found_by(look)

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it."""
        role, policy = identifier.split(":", 1)
        try:
            self._context.client("iam").delete_role_policy(RoleName=role, PolicyName=policy)
        except ClientError as error:
            if not is_gone(error):
                raise
