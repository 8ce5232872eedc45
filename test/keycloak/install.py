#!/usr/bin/env python3
"""Puts Keycloak into the cache, started once, and prints its folder.

The first start builds it and makes its database, which takes minutes; the folder is
kept as it is then. Maven and Java 17 or later must be there.
"""
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
sys.path.insert(0, os.path.dirname(HERE))
import parts  # noqa: E402

VERSION = "26.7.0"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
WITHIN = 20 * 60  # seconds for the first start, on a loaded machine


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def unpack(folder):
    parts.run("mvn", "-q", "-B", "-ntp", COPY, "-Dartifact=org.keycloak:keycloak-quarkus-dist:%s:zip" % VERSION,
              "-DoutputDirectory=" + folder)
    name = os.path.join(folder, "keycloak-quarkus-dist-%s.zip" % VERSION)
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
                parts.fail("Keycloak did not start, %s says why" % log.name)
            time.sleep(1)
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(60)


def main():
    with open(os.path.join(HERE, "lab-realm.json"), "rb") as f:
        digest = hashlib.sha256(f.read() + VERSION.encode()).hexdigest()[:12]
    folder = os.path.join(parts.CACHE, "keycloak-" + digest)
    with parts.locked(os.path.join(parts.CACHE, "keycloak-parts")):
        parts.make("Keycloak %s, started once" % VERSION, folder, "keycloak-" + VERSION, lambda at: start_once(unpack(at)))
    print(os.path.join(folder, "keycloak-" + VERSION))


if __name__ == "__main__":
    main()
