"""What the installers of tests share: parts that are made once, and stay in the cache.

A part is made in a folder that is named after what it is made from, and counts once it is marked. Debian's packages
are unpacked there, not installed: the machine stays as it is, and no root is needed.
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

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "patgate")


def caller():
    """The folder of the installer that runs, as messages name it."""
    return os.path.relpath(os.path.dirname(os.path.abspath(sys.argv[0])), ROOT)


def fail(message):
    sys.exit("%s: %s" % (caller(), message))


def say(message):
    print("%s: %s" % (caller(), message), file=sys.stderr, flush=True)


def run(*command, **options):
    """Runs a command; what it prints goes to stderr unless it is asked for."""
    options.setdefault("stdout", sys.stderr)
    try:
        return subprocess.run(command, check=True, **options).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        fail("%s: %s" % (" ".join(command), error))


def unpack_debian(folder, packages):
    """Unpacks Debian 12's packages, and what they need, into folder/root.

    packages maps a name to how its version begins; security updates change what follows. An empty text takes any.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        fail("%s come from Debian 12's packages: these tests need Debian, or a container of it" % ", ".join(packages))
    lists, archives = os.path.join(folder, "lists"), os.path.join(folder, "archives")
    os.makedirs(os.path.join(lists, "partial"))
    os.makedirs(os.path.join(archives, "partial"))
    apt = ["apt-get", "-qq", "-o", "Dir::State::lists=" + lists, "-o", "Dir::Cache=" + folder,
           "-o", "Dir::Cache::archives=" + archives + "/", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="]
    run(*apt, "update")
    # --reinstall: a package that the machine has is fetched too.
    run(*apt, "install", "--download-only", "--reinstall", "--no-install-recommends", "-y", *packages)
    for package in sorted(glob.glob(os.path.join(archives, "*.deb"))):
        name, version = run("dpkg-deb", "-W", "--showformat=${Package} ${Version}", package,
                            stdout=subprocess.PIPE, text=True).split(" ")
        if not version.startswith(packages.get(name, "")):
            fail("Debian's %s is %s, expected %s*: these tests need Debian 12" % (name, version, packages[name]))
        if not name.startswith(("perl", "libperl", "libc6")):
            run("dpkg-deb", "-x", package, os.path.join(folder, "root"))
    shutil.rmtree(lists)
    shutil.rmtree(archives)


def install_npm(source, folder):
    """Installs the packages that the lock file of the folder source pins. Their scripts do not run."""
    for name in "package.json", "package-lock.json":
        shutil.copy(os.path.join(source, name), folder)
    run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)


def digest_of(*recipe):
    """A name for what is made from these texts and files. A file is named by its path, with the folder `/`."""
    digest = hashlib.sha256()
    for item in recipe:
        for path in sorted(glob.glob(item)) if os.path.isabs(item) else [None]:
            digest.update((os.path.basename(path) if path else item).encode())
            if path:
                with open(path, "rb") as f:
                    digest.update(f.read())
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def locked(folder):
    """One run at a time: a second one waits, and finds everything made."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another run is filling the cache: waiting for it")
            fcntl.flock(f, fcntl.LOCK_EX)
        yield


def make(name, target, proof, maker):
    """Makes a part in its place: a Python environment can't be moved. It counts once it is marked."""
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


def make_all(kind, parts):
    """Makes the parts that are missing, and returns where each is.

    parts maps a name to what it holds when it is whole, what makes it, and what it is made from (see digest_of).
    """
    folder = os.path.join(CACHE, kind + "-parts")
    made = {name: os.path.join(folder, "%s-%s" % (name, digest_of(*recipe))) for name, (_, _, recipe) in parts.items()}
    with locked(folder):
        for name, at in made.items():
            make(name, at, *parts[name][:2])
    return made


def link_all(kind, made):
    """Returns a folder with a link to each part."""
    target = os.path.join(CACHE, kind + "-" + digest_of(repr(sorted(made.items()))))
    with locked(os.path.join(CACHE, kind + "-parts")):
        if not os.path.isdir(target):
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="new-") as work:
                folder = os.path.join(work, kind)
                os.mkdir(folder)
                for name, at in made.items():
                    os.symlink(at, os.path.join(folder, name))
                os.rename(folder, target)
    return target
