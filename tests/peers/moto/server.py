"""STS for keyfob's tests: moto, with counters and faults beside it. It takes any web identity token.

Prints `READY http://127.0.0.1:PORT` and stops when its standard input ends.
Environment: TB_LOG (a file for one JSON line per request, without tokens).

Control, for tests:
    GET  /_tb/stats   {"ok": {"GetCallerIdentity": 2}, "refused": {"InvalidIdentityToken": 1}, "roles": [...]}
    POST /_tb/set     {"ttl": 1000} cuts what is left of the credentials' life to that many seconds; {"ttl": null} undoes it
    POST /_tb/fault   {"action": "AssumeRoleWithWebIdentity", "times": 1, "status": 503, "delay_ms": 0}
    POST /_tb/reset   counters, faults and ttl as at the start
"""

import datetime
import io
import json
import logging
import os
import re
import sys
import threading
import time
import urllib.parse

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

LOG = os.environ.get("TB_LOG")


class Refused(Exception):
    """An STS error: its code and its text."""


class Counted:
    """The WSGI application: counts, and hands on to moto."""

    def __init__(self):
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.lock = threading.Lock()
        self.reset()

    def reset(self):
        self.stats, self.ttl, self.faults = {"ok": {}, "refused": {}, "roles": []}, None, []

    def __call__(self, environ, start):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if environ["PATH_INFO"].startswith("/_tb/"):
            return self.control(environ["PATH_INFO"], json.loads(body or b"{}"), start)
        environ["wsgi.input"] = io.BytesIO(body)
        fields = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace")))
        action = fields.get("Action", "none")
        status = self.fault(action)
        if status:
            return self.refuse(start, status, "ServiceUnavailable", "a fault that the test asked for", "Receiver")
        try:
            if action == "AssumeRoleWithWebIdentity":
                self.check(fields)
        except Refused as refused:
            return self.refuse(start, 400, *refused.args, "Sender")
        self.count("ok", action)
        return self.shorten(self.moto(environ, start)) if action.startswith("AssumeRole") and self.ttl else self.moto(environ, start)

    def check(self, fields):
        if int(fields.get("DurationSeconds", 3600)) not in range(900, 43201):
            raise Refused("ValidationError", "1 validation error detected: Value at 'durationSeconds' must be 900 to 43200")
        with self.lock:
            self.stats["roles"].append({name: fields.get(name) for name in ("RoleArn", "RoleSessionName", "DurationSeconds")})

    def shorten(self, answer):
        ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.ttl)
        text = b"".join(answer).decode()
        expiration = ends.strftime("<Expiration>%Y-%m-%dT%H:%M:%SZ</Expiration>")
        # moto writes milliseconds; the length that it announced must still hold.
        return [re.sub("<Expiration>[^<]*</Expiration>", lambda old: expiration.ljust(len(old[0])), text).encode()]

    def fault(self, action):
        with self.lock:
            fault = next((f for f in self.faults if f.get("action", action) == action), None)
            if fault is None:
                return None
            fault["times"] = fault.get("times", 1) - 1
            if fault["times"] <= 0:
                self.faults.remove(fault)
        time.sleep(fault.get("delay_ms", 0) / 1000)
        return fault.get("status")

    def count(self, kind, name):
        with self.lock:
            self.stats[kind][name] = self.stats[kind].get(name, 0) + 1
        if LOG:
            with open(LOG, "a", encoding="utf-8") as log:
                log.write(json.dumps({"at": time.time(), kind: name}) + "\n")

    def refuse(self, start, status, code, message, blame):
        self.count("refused", code)
        text = (
            '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
            f"<Type>{blame}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            "<RequestId>00000000-0000-0000-0000-000000000000</RequestId></ErrorResponse>"
        ).encode()
        start(f"{status} Refused", [("Content-Type", "text/xml"), ("Content-Length", str(len(text)))])
        return [text]

    def control(self, path, wanted, start):
        with self.lock:
            if path == "/_tb/set":
                self.ttl = wanted.get("ttl")
            elif path == "/_tb/fault":
                self.faults.append(wanted)
            elif path == "/_tb/reset":
                self.reset()
            text = json.dumps(self.stats).encode()
        known = path in ("/_tb/stats", "/_tb/set", "/_tb/fault", "/_tb/reset")
        start("200 OK" if known else "404 Not Found", [("Content-Type", "application/json"), ("Content-Length", str(len(text)))])
        return [text]


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, Counted(), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"READY http://127.0.0.1:{server.server_port}", flush=True)
    # Whoever started this server holds the other end; when it dies, however it dies, so does this.
    sys.stdin.read()
    os._exit(0)


main()
