"""A browser's page that sends a Django form: `python page.py URL`. The token is in PATGATE_TOKEN."""
import os
import sys

import requests

url = sys.argv[1]
session = requests.Session()
session.auth = ("alice", os.environ["PATGATE_TOKEN"])
session.headers["Origin"] = url.rsplit("/", 1)[0]
session.headers["X-Forwarded-Host"] = "evil.example.org"
page = session.get(url)
page.raise_for_status()
answer = session.post(url, data={"csrfmiddlewaretoken": page.text, "text": "x" * 200_000}, headers={"X-CSRFToken": page.text})
answer.raise_for_status()
print(answer.text.replace("x" * 200_000, "all"))
