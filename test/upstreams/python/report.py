"""What the Python APIs share: the shape of a report."""
import math
import os

LOOKUPS = [name for name in os.environ.get("LOOKUPS", "").split(",") if name]


def parameters(multi):
    """Parameters by name, with all their values. multi has Werkzeug's or Django's interface."""
    return {name: [str(value) for value in multi.getlist(name)] for name in multi}


def headers(get, all_headers):
    lookup = {name: [get(name)] for name in LOOKUPS if get(name) is not None}
    return {"lookup": lookup, "headers": {name: [value] for name, value in all_headers.items()}}


def finite(value):
    """A parsed body without the numbers that JSON can't have, which Python's parser takes."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: finite(member) for name, member in value.items()}
    return [finite(element) for element in value] if isinstance(value, list) else value
