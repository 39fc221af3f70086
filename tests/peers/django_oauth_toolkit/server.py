"""An authorization server for keyfob's tests: django-oauth-toolkit, plain OAuth 2.0 below the path `/o`.

Prints `READY http://127.0.0.1:PORT` and stops when its standard input ends.
Environment: TB_ORIGIN (the address by which it is asked, where something stands in front of it).

Known is the client `checker` with the secret `checker-secret` (may introspect); any user name signs in with any password. Refresh
tokens rotate, and the reuse of one ends its family.

Control, for tests:
    POST /_tb/set       {"accessTtl": 5}   the life of access tokens that are issued from now on, in seconds
    POST /_tb/register  {"client": "keyfob", "grant": "authorization-code"}   a public client: an application here has one grant and
                        renews what it brought; `http://127.0.0.1/callback` is known with any port
"""

import json
import logging
import os
import sys
import tempfile
import threading

import django
from django.conf import settings
from werkzeug.serving import make_server

knobs = {"accessTtl": 3600}

LOGIN = """<!doctype html><title>Sign in</title><form method="post">{% csrf_token %}{{ form.as_p }}
<input type="hidden" name="next" value="{{ next }}"><button type="submit">Sign in</button></form>"""


def configure(folder, origin):
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        AUTHENTICATION_BACKENDS=["users.Anybody"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": os.path.join(folder, "db"),
                "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA synchronous=OFF"},
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "oauth2_provider"],
        LOGIN_URL="/login/",
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        OAUTH2_PROVIDER={
            "ACCESS_TOKEN_EXPIRE_SECONDS": lambda request: knobs["accessTtl"],
            "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
            "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
            "DEVICE_FLOW_INTERVAL": 1,
            "OAUTH_DEVICE_VERIFICATION_URI": f"{origin}/o/device/",
            "REFRESH_TOKEN_REUSE_PROTECTION": True,
            "SCOPES": {"read": "read", "write": "write", "introspection": "introspection"},
        },
        # a slow one would be asked at each introspection
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF="urls",
        SECRET_KEY=os.urandom(32).hex(),
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {
                    "loaders": [
                        ("django.template.loaders.locmem.Loader", {"registration/login.html": LOGIN}),
                        "django.template.loaders.app_directories.Loader",
                    ]
                },
            }
        ],
    )
    django.setup()


def fill():
    from django.core.management import call_command
    from oauth2_provider.models import Application

    call_command("migrate", verbosity=0)
    register("checker", Application.GRANT_CLIENT_CREDENTIALS, client_type="confidential", client_secret="checker-secret")


def register(client, grant, client_type="public", **more):
    from oauth2_provider.models import Application

    redirects = "http://127.0.0.1/callback" if grant == Application.GRANT_AUTHORIZATION_CODE else ""
    Application.objects.create(
        client_id=client, name=client, client_type=client_type, authorization_grant_type=grant, redirect_uris=redirects, **more
    )


def with_control(application):
    """`application` with the control beside it."""

    def serve(environ, start):
        if not environ["PATH_INFO"].startswith("/_tb/"):
            return application(environ, start)
        wanted = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        if environ["PATH_INFO"] == "/_tb/register":
            register(wanted["client"], wanted["grant"])
        else:
            knobs.update(wanted)
        answer = json.dumps(knobs).encode()
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
        return [answer]

    return serve


def main():
    logging.disable(logging.CRITICAL)
    folder = tempfile.TemporaryDirectory(prefix="keyfob-django-")
    # the port is known before the application is, which has to be told its address
    server = make_server("127.0.0.1", 0, None, threaded=True)
    here = f"http://127.0.0.1:{server.server_port}"
    configure(folder.name, os.environ.get("TB_ORIGIN", here))
    fill()
    from django.core.wsgi import get_wsgi_application

    server.app = with_control(get_wsgi_application())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"READY {here}", flush=True)
    # Whoever started this server holds the other end; when it dies, however it dies, so does this.
    sys.stdin.read()
    folder.cleanup()
    os._exit(0)


main()
