"""Where what is: the toolkit below `/o`, its metadata at the root as RFC 8414 has it, a page to sign in at, and an API that says whose a
token is, as hosts of code have one."""

from django.contrib.auth.views import LoginView
from django.http import JsonResponse
from django.urls import include, path
from oauth2_provider.decorators import protected_resource
from oauth2_provider.urls import metadata_urlpatterns


@protected_resource(scopes=["read"])
def user(request):
    owner = request.resource_owner
    return JsonResponse({"login": owner.username, "id": owner.pk})


urlpatterns = [
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("", include((metadata_urlpatterns, "metadata"))),
    path("login/", LoginView.as_view()),
    path("api/user", user),
]
