#!/usr/bin/env python3
"""Puts the APIs of `make test-upstreams` into the cache, and prints their folder.

Versions are pinned here and in the files of the parts.
"""
import glob
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import parts  # noqa: E402

# Debian 12 has one version of each; security updates change the part after the second dot.
DEBIAN = {"php8.2-cli": "8.2.", "php-symfony-http-foundation": "5.4.", "lighttpd": "1.4.", "ruby-rack": "2.2.",
          "puma": "5.6.", "libcgi-pm-perl": "4.55"}
COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


def make_node(folder):
    parts.install_npm(os.path.join(HERE, "node"), folder)


def make_python(folder):
    parts.run(sys.executable, "-m", "venv", folder)
    parts.run(os.path.join(folder, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "--no-deps",
        "-r", os.path.join(HERE, "python", "requirements.txt"))


def make_java(folder):
    shutil.copy(os.path.join(HERE, "java", "pom.xml"), folder)
    jars, classes = os.path.join(folder, "jars"), os.path.join(folder, "classes")
    parts.run("mvn", "-q", "-B", "-ntp", COPY_JARS, "-DoutputDirectory=" + jars, cwd=folder)
    parts.run("javac", "-parameters", "-nowarn", "-proc:none", "-cp", os.path.join(jars, "*"), "-d", classes,
        *sorted(glob.glob(os.path.join(HERE, "java", "*.java"))))


def make_debian(folder):
    parts.unpack_debian(folder, DEBIAN)


# What a part holds when it is whole, how it is made, and what it is made from.
PARTS = {
    "node": ("node_modules/express5", make_node, [os.path.join(HERE, "node", "package-lock.json")]),
    "python": ("bin/gunicorn", make_python, [os.path.join(HERE, "python", "requirements.txt")]),
    "java": ("classes", make_java, [os.path.join(HERE, "java", "*")]),
    "debian": ("root/usr/sbin/lighttpd", make_debian, [repr(DEBIAN)]),
}


if __name__ == "__main__":
    print(parts.link_all("upstreams", parts.make_all("upstreams", PARTS)))
