"""Proves what the tests lean on: the STS server, boto3 and the aws CLI, with a made-up credential_process.

Run by the Python that has tests/peers/requirements.txt. Exits 0.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

import boto3

here = pathlib.Path(__file__).parent
environment = {"PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "*"}
server = subprocess.Popen(
    [sys.executable, here / "server.py"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
)
try:
    url = server.stdout.readline().removeprefix("READY ").strip()
    sts = boto3.client(
        "sts", endpoint_url=url, region_name="eu-central-1", aws_access_key_id="none", aws_secret_access_key="none"
    )
    wanted = {"RoleArn": "arn:aws:iam::123456789012:role/dev", "RoleSessionName": "alice", "WebIdentityToken": "no.such.token"}
    got = sts.assume_role_with_web_identity(**wanted)["Credentials"]
    with tempfile.TemporaryDirectory() as home:
        answer = {
            "Version": 1,
            "AccessKeyId": got["AccessKeyId"],
            "SecretAccessKey": got["SecretAccessKey"],
            "SessionToken": got["SessionToken"],
            "Expiration": got["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        pathlib.Path(home, "answer").write_text(json.dumps(answer), encoding="utf-8")
        config = pathlib.Path(home, "config")
        config.write_text(f"[profile dev]\nregion = eu-central-1\ncredential_process = cat {home}/answer\n", encoding="utf-8")
        client = environment | {"AWS_CONFIG_FILE": str(config), "AWS_ENDPOINT_URL": url, "HOME": home}
        command = [pathlib.Path(sys.executable).parent / "aws", "sts", "get-caller-identity", "--profile", "dev"]
        caller = json.loads(subprocess.run(command, env=client, check=True, stdout=subprocess.PIPE).stdout)
        assert caller["Arn"] == "arn:aws:sts::123456789012:assumed-role/dev/alice", caller
    request = urllib.request.Request(url + "/_tb/set", data=b'{"ttl": 60}')
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()
    short = sts.assume_role_with_web_identity(**wanted)["Credentials"]["Expiration"]
    assert short < got["Expiration"], short
    stats = json.load(urllib.request.urlopen(url + "/_tb/stats"))
    assert stats["ok"] == {"AssumeRoleWithWebIdentity": 2, "GetCallerIdentity": 1}, stats
    print(json.dumps(stats), "ok", sep="\n")
finally:
    server.stdin.close()
    server.wait(5)
