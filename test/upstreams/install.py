#!/usr/bin/env python3
"""Puts the APIs of `make test-upstreams` into the cache, and prints their folder.

Each part is made once, in a folder that is named after what it is made from. Versions
are pinned here and in the files of the parts. Debian's packages are unpacked into the
cache, not installed: the machine stays as it is, and no root is needed.
"""
import contextlib
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))

# Debian 12 has one version of each; security updates change the part after the second dot.
DEBIAN = {"php8.2-cli": "8.2.", "php-symfony-http-foundation": "5.4.", "lighttpd": "1.4.", "ruby-rack": "2.2.",
          "puma": "5.6.", "libcgi-pm-perl": "4.55"}
COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


def fail(message):
    sys.exit("test/upstreams: " + message)


def say(message):
    print("test/upstreams: " + message, file=sys.stderr, flush=True)


def run(*command, **options):
    """Runs a command; what it prints goes to stderr unless it is asked for."""
    options.setdefault("stdout", sys.stderr)
    try:
        return subprocess.run(command, check=True, **options).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        fail("%s: %s" % (" ".join(command), error))


def make_node(folder):
    for name in "package.json", "package-lock.json":
        shutil.copy(os.path.join(HERE, "node", name), folder)
    run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)


def make_python(folder):
    run(sys.executable, "-m", "venv", folder)
    run(os.path.join(folder, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "--no-deps",
        "-r", os.path.join(HERE, "python", "requirements.txt"))


def make_java(folder):
    shutil.copy(os.path.join(HERE, "java", "pom.xml"), folder)
    jars, classes = os.path.join(folder, "jars"), os.path.join(folder, "classes")
    run("mvn", "-q", "-B", "-ntp", COPY_JARS, "-DoutputDirectory=" + jars, cwd=folder)
    run("javac", "-parameters", "-nowarn", "-proc:none", "-cp", os.path.join(jars, "*"), "-d", classes,
        *sorted(glob.glob(os.path.join(HERE, "java", "*.java"))))


def make_debian(folder):
    """Unpacks packages and what they need beyond what the machine has."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        fail("PHP, Rack and lighttpd come from Debian 12's packages: these tests need Debian, or a container of it")
    lists, archives = os.path.join(folder, "lists"), os.path.join(folder, "archives")
    os.makedirs(os.path.join(lists, "partial"))
    os.makedirs(os.path.join(archives, "partial"))
    apt = ["apt-get", "-qq", "-o", "Dir::State::lists=" + lists, "-o", "Dir::Cache=" + folder,
           "-o", "Dir::Cache::archives=" + archives + "/", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="]
    run(*apt, "update")
    # --reinstall: a package that the machine has is fetched too.
    run(*apt, "install", "--download-only", "--reinstall", "--no-install-recommends", "-y", *DEBIAN)
    for package in sorted(glob.glob(os.path.join(archives, "*.deb"))):
        name, version = run("dpkg-deb", "-W", "--showformat=${Package} ${Version}", package,
                            stdout=subprocess.PIPE, text=True).split(" ")
        if not version.startswith(DEBIAN.get(name, "")):
            fail("Debian's %s is %s, expected %s*: these tests need Debian 12" % (name, version, DEBIAN[name]))
        if not name.startswith(("perl", "libperl", "libc6")):
            run("dpkg-deb", "-x", package, os.path.join(folder, "root"))
    shutil.rmtree(lists)
    shutil.rmtree(archives)


# What a part holds when it is whole, how it is made, and what it is made from.
PARTS = {
    "node": ("node_modules/express5", make_node, ["node/package-lock.json"]),
    "python": ("bin/gunicorn", make_python, ["python/requirements.txt"]),
    "java": ("classes", make_java, ["java/*"]),
    "debian": ("root/usr/sbin/lighttpd", make_debian, ["install.py"]),
}


def recipe_key(patterns):
    """A name for what is made from these files."""
    digest = hashlib.sha256()
    for pattern in patterns:
        for path in sorted(glob.glob(os.path.join(HERE, pattern))):
            digest.update(os.path.basename(path).encode())
            with open(path, "rb") as f:
                digest.update(f.read())
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def locked(path):
    """One run at a time: a second one waits, and finds everything made."""
    with open(path, "w") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another run is filling the cache: waiting for it")
            fcntl.flock(f, fcntl.LOCK_EX)
        yield


def make(name, target):
    """Makes a part in its place: a Python environment can't be moved. It counts once it is marked."""
    proof, maker, _ = PARTS[name]
    mark = os.path.join(target, "made")
    if os.path.exists(mark):
        return
    say("making " + name)
    began = time.monotonic()
    shutil.rmtree(target, ignore_errors=True)
    os.makedirs(target)
    maker(target)
    if not os.path.exists(os.path.join(target, proof)):
        fail("%s did not make %s" % (name, proof))
    open(mark, "w").close()
    say("%s: %d s" % (name, time.monotonic() - began))


def main():
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "patgate")
    parts = os.path.join(cache, "upstreams-parts")
    os.makedirs(parts, exist_ok=True)
    made = {name: os.path.join(parts, "%s-%s" % (name, recipe_key(recipe))) for name, (_, _, recipe) in PARTS.items()}
    target = os.path.join(cache, "upstreams-" + hashlib.sha256(repr(sorted(made.items())).encode()).hexdigest()[:12])
    with locked(os.path.join(parts, "lock")):
        for name, at in made.items():
            make(name, at)
        if not os.path.isdir(target):
            with tempfile.TemporaryDirectory(dir=cache, prefix="new-") as work:
                folder = os.path.join(work, "upstreams")
                os.mkdir(folder)
                for name, at in made.items():
                    os.symlink(at, os.path.join(folder, name))
                os.rename(folder, target)
    print(target)


if __name__ == "__main__":
    main()
