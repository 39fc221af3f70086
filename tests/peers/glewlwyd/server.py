"""An authorization server for keyfob's tests: Debian's glewlwyd on SQLite, set up through its own API.

Prints `READY http://127.0.0.1:PORT` and stops when its standard input ends. The issuer is `/api/oidc` below that address.
Environment: TB_ORIGIN (the address by which it is asked, where something stands in front of it), TB_ACCESS_TTL (seconds).

Known are the user `alice` with the password `password`, and the administrator `admin` with the same one; clients are registered by
`POST api/client/`. Redirects are compared to the letter, port included; refresh tokens are good once, and the reuse of one ends its
family; polls for a device code have to be two seconds apart.
"""

import http.client
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

SCHEMA = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
CONFIGURATION = """
port={port}
bind_address="127.0.0.1"
external_url="{origin}"
login_url="login.html"
api_prefix="api"
static_files_path="/usr/share/glewlwyd/webapp/"
static_files_mime_types=({{extension=".html" mime_type="text/html"}})
log_mode="file"
log_level="WARNING"
log_file="{folder}/log"
cookie_domain="127.0.0.1"
cookie_secure=0
cookie_same_site="empty"
session_key="GLEWLWYD2_SESSION_ID"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="/usr/lib/glewlwyd/user"
user_middleware_module_path="{folder}/none"
client_module_path="/usr/lib/glewlwyd/client"
user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
plugin_module_path="/usr/lib/glewlwyd/plugin"
hash_algorithm="SHA512"
database={{type="sqlite3" path="{folder}/db"}};
"""
SCOPES = ["offline_access", "repo:read", "repo:write"]


def plugin(issuer, key, certificate):
    return {
        "module": "oidc",
        "name": "oidc",
        "display_name": "tests",
        "parameters": {
            "iss": issuer,
            "jwt-type": "ecdsa",
            "jwt-key-size": "256",
            "key": key,
            "cert": certificate,
            "jwks-show": True,
            "subject-type": "public",
            "access-token-duration": int(os.environ.get("TB_ACCESS_TTL", "3600")),
            "refresh-token-duration": 86400,
            "refresh-token-rolling": True,
            "refresh-token-one-use": "always",
            "code-duration": 60,
            "allow-non-oidc": True,
            "auth-type-code-enabled": True,
            "auth-type-code-revoke-replayed": False,
            "auth-type-token-enabled": False,
            "auth-type-id-token-enabled": True,
            "auth-type-none-enabled": True,
            "auth-type-password-enabled": False,
            "auth-type-client-enabled": False,
            "auth-type-refresh-enabled": True,
            "auth-type-device-enabled": True,
            "device-authorization-expiration": 600,
            "device-authorization-interval": 2,
            "allowed-scope": ["openid"],
            "scope": [],
            "pkce-allowed": True,
            "pkce-required": True,
            "pkce-required-public-client": True,
            "pkce-method-plain-allowed": False,
            "pkce-scopes": [],
            "introspection-revocation-allowed": True,
            "introspection-revocation-allow-target-client": True,
            "introspection-revocation-auth-scope": [],
            "register-client-allowed": False,
            "oauth-as-iss-id": True,
            "oauth-dpop-allowed": False,
            "oauth-par-allowed": False,
            "resource-allowed": False,
            "request-parameter-allow": False,
            "additional-parameters": [],
            "claims": [],
            "name-claim": "mandatory",
            "email-claim": "mandatory",
        },
    }


class Api:
    """The administrator's session."""

    def __init__(self, port):
        self.port, self.cookie = port, ""

    def call(self, method, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"Content-Type": "application/json", "Cookie": self.cookie}
        connection.request(method, f"/api/{path}", json.dumps(body), headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            sys.exit(f"{method} {path}: {answer.status} {said}")
        self.cookie = (answer.getheader("Set-Cookie") or self.cookie).split(";")[0]


def wait_for(port, server):
    for _ in range(500):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.01)
    sys.exit("glewlwyd does not listen")


def fill(port, origin):
    key = subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"], check=True, capture_output=True).stdout
    public = subprocess.run(["openssl", "ec", "-pubout"], input=key, check=True, capture_output=True).stdout
    api = Api(port)
    api.call("POST", "auth/", {"username": "admin", "password": "password"})
    for scope in SCOPES:
        described = {"name": scope, "display_name": scope, "description": scope, "password_required": True, "scheme": {}}
        api.call("POST", "scope/", described)
    api.call("POST", "mod/plugin/", plugin(f"{origin}/api/oidc", key.decode(), public.decode()))
    alice = {"username": "alice", "name": "Alice", "email": "alice@example.com", "password": "password", "enabled": True}
    api.call("POST", "user/", {**alice, "scope": ["openid", "g_profile", *SCOPES]})


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    with tempfile.TemporaryDirectory(prefix="keyfob-glewlwyd-") as folder:
        os.mkdir(os.path.join(folder, "none"))
        with sqlite3.connect(os.path.join(folder, "db")) as database, open(SCHEMA, encoding="utf-8") as schema:
            database.executescript(f"PRAGMA synchronous=OFF; BEGIN; {schema.read()} COMMIT;")
        port = free_port()
        origin = os.environ.get("TB_ORIGIN", f"http://127.0.0.1:{port}")
        path = os.path.join(folder, "conf")
        with open(path, "w", encoding="utf-8") as conf:
            conf.write(CONFIGURATION.format(port=port, origin=origin, folder=folder))
        # should this program be killed, the server goes with it
        server = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "glewlwyd", f"--config-file={path}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(port, server)
            fill(port, origin)
            print(f"READY http://127.0.0.1:{port}", flush=True)
            # Whoever started this holds the other end; when it dies, however it dies, so does the server.
            sys.stdin.read()
        finally:
            server.kill()
            server.wait()


main()
