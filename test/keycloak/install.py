#!/usr/bin/env python3
"""Puts Keycloak into the cache, started once, and prints its folder.

The first start builds it and makes its database, which takes minutes; the folder is
kept as it is then. Maven and Java 17 or later must be there.
"""
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
VERSION = "26.7.0"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
WITHIN = 20 * 60  # seconds for the first start, on a loaded machine


def fail(message):
    sys.exit("test/keycloak: " + message)


def say(message):
    print("test/keycloak: " + message, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def unpack(folder):
    run = subprocess.run(["mvn", "-q", "-B", "-ntp", COPY, "-Dartifact=org.keycloak:keycloak-quarkus-dist:%s:zip" % VERSION,
                          "-DoutputDirectory=" + folder], stdout=sys.stderr, check=False)
    name = os.path.join(folder, "keycloak-quarkus-dist-%s.zip" % VERSION)
    if run.returncode or not os.path.exists(name):
        fail("Maven could not fetch Keycloak %s" % VERSION)
    with zipfile.ZipFile(name) as z:
        for item in z.infolist():
            path = z.extract(item, folder)
            if item.external_attr >> 16 & 0o111:
                os.chmod(path, 0o755)
    os.remove(name)
    home = os.path.join(folder, "keycloak-" + VERSION)
    os.makedirs(os.path.join(home, "data", "import"), exist_ok=True)
    shutil.copy(os.path.join(HERE, "lab-realm.json"), os.path.join(home, "data", "import"))
    return home


def start_once(home):
    """Starts Keycloak until its realm is there, and stops it."""
    port, management = free_port(), free_port()
    environment = dict(os.environ, JAVA_OPTS_KC_HEAP="-Xms64m -Xmx512m", KC_BOOTSTRAP_ADMIN_USERNAME="admin",
                       KC_BOOTSTRAP_ADMIN_PASSWORD="admin-password")
    log = open(os.path.join(home, "first-start.log"), "wb")
    server = subprocess.Popen(
        [os.path.join(home, "bin", "kc.sh"), "start-dev", "--http-host=127.0.0.1", "--http-port=%d" % port,
         "--http-management-host=127.0.0.1", "--http-management-port=%d" % management, "--health-enabled=true", "--import-realm"],
        env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    end = time.time() + WITHIN
    while True:
        try:
            urllib.request.urlopen("http://127.0.0.1:%d/realms/lab/.well-known/openid-configuration" % port, timeout=5).close()
            break
        except (urllib.error.URLError, OSError):
            if server.poll() is not None or time.time() > end:
                os.killpg(server.pid, signal.SIGKILL) if server.poll() is None else None
                fail("Keycloak did not start, %s says why" % log.name)
            time.sleep(1)
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(60)


def main():
    with open(os.path.join(HERE, "lab-realm.json"), "rb") as f:
        digest = hashlib.sha256(f.read() + VERSION.encode()).hexdigest()[:12]
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "patgate")
    os.makedirs(cache, exist_ok=True)
    with open(os.path.join(cache, "keycloak.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = os.path.join(cache, "keycloak-" + digest)
        if not os.path.exists(os.path.join(folder, "done")):
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
            say("fetches Keycloak %s and starts it once: minutes" % VERSION)
            start_once(unpack(folder))
            open(os.path.join(folder, "done"), "w").close()
    print(os.path.join(folder, "keycloak-" + VERSION))


if __name__ == "__main__":
    main()
