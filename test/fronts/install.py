#!/usr/bin/env python3
"""Puts nginx, HAProxy and Caddy into the cache for `make test-fronts`, and prints their folder.

nginx and HAProxy are Debian 12's packages, unpacked into the cache: the machine stays as it is, and no root
is needed. Caddy is built by Go. Versions are pinned here.
"""
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import time

# Debian 12 has one version of each; security updates change what follows.
DEBIAN = {"nginx": "1.22.1-", "haproxy": "2.6.12-"}
CADDY = "v2.11.9"


def fail(message):
    sys.exit("test/fronts: " + message)


def say(message):
    print("test/fronts: " + message, file=sys.stderr, flush=True)


def run(*command, **options):
    """Runs a command; what it prints goes to stderr unless it is asked for."""
    options.setdefault("stdout", sys.stderr)
    try:
        return subprocess.run(command, check=True, **options).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        fail("%s: %s" % (" ".join(command), error))


def make_debian(folder):
    """Unpacks the packages with the libraries that they need."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        fail("nginx and HAProxy come from Debian 12's packages: these tests need Debian, or a container of it")
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


def make_caddy(folder):
    """Builds Caddy from the module proxy: some minutes, once."""
    run("go", "install", "github.com/caddyserver/caddy/v2/cmd/caddy@" + CADDY,
        env=dict(os.environ, GOBIN=folder, GOFLAGS="-trimpath"))


# What a part holds when it is whole, how it is made, and what it is made from.
PARTS = {
    "debian": ("root/usr/sbin/haproxy", make_debian, repr(sorted(DEBIAN.items()))),
    "caddy": ("caddy", make_caddy, CADDY),
}


def make(name, target):
    """Makes a part. It counts once it is marked."""
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
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "patgate", "fronts")
    os.makedirs(cache, exist_ok=True)
    made = {name: os.path.join(cache, name + "-" + hashlib.sha256(recipe.encode()).hexdigest()[:12])
            for name, (_, _, recipe) in PARTS.items()}
    target = os.path.join(cache, "all-" + hashlib.sha256(repr(sorted(made.items())).encode()).hexdigest()[:12])
    # One run at a time: a second one waits, and finds everything made.
    with open(os.path.join(cache, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, at in made.items():
            make(name, at)
        os.makedirs(target, exist_ok=True)
        for name, at in made.items():
            link = os.path.join(target, name)
            if not os.path.islink(link):
                os.symlink(at, link)
    print(target)


if __name__ == "__main__":
    main()
