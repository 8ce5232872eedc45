"""Clients of Atlassian's API, unchanged, against /rest/pat/latest: URL VALUE. A rotation as scripts do it."""

import datetime
import sys

import jira
from atlassian import Jira

url, value = sys.argv[1:3]
path = "rest/pat/latest/tokens"


def when(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")


# atlassian-python-api: create, list, use, rotate, delete.
old = Jira(url=url, token=value)
made = old.post(path, data={"name": "script", "expirationDuration": 400})
assert made["rawToken"].startswith("patg_") and 0 < made["id"] < 2**53, "no token"
left = when(made["expiringAt"]) - when(made["createdAt"])
assert left == datetime.timedelta(days=90), f"it lives {left}, expected the cap"

new = Jira(url=url, token=made["rawToken"])
listed = new.get(path)
assert isinstance(listed, list) and all("rawToken" not in t for t in listed), "a value in the list"
assert [t["id"] for t in listed if t["name"] == "script"] == [made["id"]], "it is not in the list"
assert all(t["createdAt"].endswith("+0000") and t["expiringAt"].endswith("+0000") for t in listed), "a time that ends in Z"

try:
    new.post(path, data={"name": "script"})
    raise SystemExit("a name twice")
except Exception as e:  # the library has its own classes by version
    assert "token of this name already" in str(e), f"the error says nothing: {type(e).__name__}: {e}"

second = new.post(path, data={"name": "script-2"})
new.delete(f"{path}/{made['id']}")
try:
    new.get(path)
    raise SystemExit("a revoked token works")
except Exception as e:
    assert "401" in str(e) or "sign in" in str(e) or "Unauthorized" in str(e), f"{type(e).__name__}: {e}"
last = Jira(url=url, token=second["rawToken"])
assert "script" not in [t["name"] for t in last.get(path)], "a revoked token is in the list"
last.delete(f"{path}/{second['id']}")

# jira: a session of its own, and what its users see of an error.
client = jira.JIRA(server=url, token_auth=value, get_server_info=False, max_retries=0)
answer = client._session.post(f"{url}/{path}", json={"name": "by jira", "expirationDuration": 7})
assert answer.status_code == 201, answer.status_code
identity = answer.json()["id"]
try:
    client._session.post(f"{url}/{path}", json={"name": "x" * 41})
    raise SystemExit("a long name")
except jira.JIRAError as e:
    assert e.status_code == 400 and "too long" in e.text, f"the error says nothing: {e.status_code} {e.text}"
assert client._session.delete(f"{url}/{path}/{identity}").status_code == 204
try:
    client._session.delete(f"{url}/{path}/{identity}")
    raise SystemExit("deleted twice")
except jira.JIRAError as e:
    assert e.status_code == 404, e.status_code
print("clients: good")
