#!/usr/bin/env python3
"""Puts the browser of `make test-page` and axe-core into the cache, and prints their folder.

Chromium and its fonts are Debian 12's, unpacked into the cache. Debian keeps one
version of Chromium, the newest, so that it is not pinned; axe-core is.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import parts  # noqa: E402

DEBIAN = {"chromium": "", "fonts-inter": "", "fonts-dejavu-core": "", "fontconfig-config": ""}
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>%s</dir><cachedir>%s</cachedir>
<alias><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
<alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
<alias><family>sans-serif</family><prefer><family>Inter</family><family>DejaVu Sans</family></prefer></alias></fontconfig>
"""


def make_browser(folder):
    parts.unpack_debian(folder, DEBIAN)
    fonts = os.path.join(folder, "root", "usr", "share", "fonts")
    with open(os.path.join(folder, "fonts.conf"), "w") as f:
        f.write(FONTS % (fonts, os.path.join(folder, "fontcache")))


def make_axe(folder):
    parts.install_npm(HERE, folder)


PARTS = {
    "browser": ("root/usr/lib/chromium/chromium", make_browser, [repr(DEBIAN), FONTS]),
    "axe": ("node_modules/axe-core/axe.min.js", make_axe, [os.path.join(HERE, "package-lock.json")]),
}


if __name__ == "__main__":
    for name, at in parts.make_all("page", PARTS).items():
        print("PATGATE_TEST_PAGE_%s=%s" % (name.upper(), at))
