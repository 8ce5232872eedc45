"""Django, for gunicorn (wsgi) and uvicorn (asgi)."""
import json

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt

import report

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="of tests", USE_X_FORWARDED_HOST=True,
                   USE_X_FORWARDED_PORT=True, MIDDLEWARE=["django.middleware.common.CommonMiddleware"], LOGGING_CONFIG=None)
django.setup()


def answer(route):
    @csrf_exempt
    def view(request, **values):
        told = {
            "method": request.method, "path": request.path, "route": route, "id": values.get("id"),
            "query": report.parameters(request.GET), "host": request.get_host(),
            **report.headers(request.headers.get, {k: v for k, v in request.META.items() if k.startswith("HTTP_")}),
        }
        if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
            told["form"] = report.parameters(request.POST)
        else:
            try:
                told["json"] = report.finite(json.loads(request.body))
            except ValueError:
                pass
        return JsonResponse(told, headers={"x-upstream": "1"})
    return view


urlpatterns = [
    re_path(r"^rest/admin(/.*)?$", answer("admin")),
    path("projects/<str:id>/issues", answer("project")),
    re_path(r"^.*$", answer("other")),
]
wsgi, asgi = get_wsgi_application(), get_asgi_application()
