#!/usr/bin/env python3
"""Puts the browser of `make test-page` and axe-core into the cache, and prints their folder.

Chromium and its fonts are Debian 12's, unpacked into the cache as those of
test/upstreams are: the machine stays as it is, and no root is needed. Debian keeps one
version of Chromium, the newest, so that it is not pinned; axe-core is.
"""
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "upstreams"))
import install as upstreams  # noqa: E402

DEBIAN = {"chromium": "", "fonts-inter": "", "fonts-dejavu-core": "", "fontconfig-config": ""}


def make_browser(folder):
    upstreams.DEBIAN = DEBIAN
    upstreams.make_debian(folder)
    fonts = os.path.join(folder, "root", "usr", "share", "fonts")
    with open(os.path.join(folder, "fonts.conf"), "w") as f:
        f.write('<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>%s</dir>'
                '<cachedir>%s</cachedir>'
                '<alias><family>system-ui</family><prefer><family>Inter</family></prefer></alias>'
                '<alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>'
                '<alias><family>sans-serif</family><prefer><family>Inter</family><family>DejaVu Sans</family></prefer></alias>'
                '</fontconfig>\n' % (fonts, os.path.join(folder, "fontcache")))


def make_axe(folder):
    for name in "package.json", "package-lock.json":
        shutil.copy(os.path.join(HERE, name), folder)
    upstreams.run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)


upstreams.HERE = HERE
upstreams.PARTS = {
    "browser": ("root/usr/lib/chromium/chromium", make_browser, ["install.py"]),
    "axe": ("node_modules/axe-core/axe.min.js", make_axe, ["package-lock.json"]),
}


def main():
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "patgate")
    parts = os.path.join(cache, "page-parts")
    os.makedirs(parts, exist_ok=True)
    with upstreams.locked(os.path.join(parts, "lock")):
        for name, (_, _, recipe) in upstreams.PARTS.items():
            at = os.path.join(parts, "%s-%s" % (name, upstreams.recipe_key(recipe)))
            upstreams.make(name, at)
            print("PATGATE_TEST_PAGE_%s=%s" % (name.upper(), at))


if __name__ == "__main__":
    main()
