"""SeaweedFS with a role, whose keys have a session token and really end."""

from __future__ import annotations

import json

from session_widgets.workspaces.clients import DEFAULT_REGION, session_of
from session_widgets.workspaces.credentials import Credentials
from session_widgets.workspaces.local_s3 import LocalS3

ROLE = "arn:aws:iam::000000000000:role/sessions"
IAM = {
    "sts": {
        "maxSessionLength": "12h",
        "issuer": "tests",
        "signingKey": "dGVzdHMgc2lnbiB3aXRoIHRoaXM=",
    },
    "policy": {"defaultEffect": "Deny", "storeType": "memory"},
    "policies": [
        {
            "name": "everything",
            "document": {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["*"]}],
            },
        }
    ],
    "roles": [
        {
            "roleName": "sessions",
            "roleArn": ROLE,
            "trustPolicy": {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sts:AssumeRole"]}],
            },
            "attachedPolicies": ["everything"],
        }
    ],
}


class StoreWithRoles(LocalS3):
    """SeaweedFS with its token service, as an administrator sets it up: none of ours."""

    lifetime = "1h"
    """Of keys for which no other is asked; S3 clients cannot ask for less than 15 minutes."""

    def assume_role(self) -> Credentials:
        """Return keys that end after `lifetime`."""
        keys = self.credentials
        session = session_of(
            aws_access_key_id=keys.access_key, aws_secret_access_key=keys.secret_key, region_name=DEFAULT_REGION
        )
        sts = session.client("sts", endpoint_url=self.endpoint)
        given = sts.assume_role(RoleArn=ROLE, RoleSessionName="test")["Credentials"]
        return Credentials(
            given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], expires=given["Expiration"]
        )

    def _argv(self, ports):
        file = self.place / "iam.json"
        file.write_text(json.dumps(IAM | {"sts": IAM["sts"] | {"tokenDuration": self.lifetime}}))
        return [*super()._argv(ports), f"-s3.iam.config={file}"]
