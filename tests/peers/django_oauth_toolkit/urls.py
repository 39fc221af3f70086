"""Where what is: the toolkit below `/o`, its metadata at the root as RFC 8414 has it, and a page to sign in at."""

from django.contrib.auth.views import LoginView
from django.urls import include, path
from oauth2_provider.urls import metadata_urlpatterns

urlpatterns = [
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("", include((metadata_urlpatterns, "metadata"))),
    path("login/", LoginView.as_view()),
]
