"""A Django site with a form: `python site.py ADDRESS`. It believes x-forwarded-host, as sites behind proxies do."""
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.urls import path

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["127.0.0.1"],
    USE_X_FORWARDED_HOST=True,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
)


def form(request):
    """The form's token, and then who sent it and from where its pages are."""
    if request.method == "POST":
        return HttpResponse(f"{request.headers['x-forwarded-user']} {request.POST['text']} {request.build_absolute_uri()}")
    return HttpResponse(get_token(request))


urlpatterns = [path("form", form)]

if __name__ == "__main__":
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", "--nothreading", sys.argv[1]])
