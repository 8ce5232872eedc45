#!/usr/bin/env python3
"""Puts nginx, HAProxy and Caddy into the cache for `make test-fronts`, and prints their folder; with the argument
`traefik`, Traefik for `make test-traefik`.

nginx and HAProxy are Debian 12's packages. Caddy and Traefik are built by Go. Versions are pinned here.
"""
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import parts  # noqa: E402

# Debian 12 has one version of each; security updates change what follows.
DEBIAN = {"nginx": "1.22.1-", "haproxy": "2.6.12-"}
CADDY = "v2.11.9"
# A module's version, and the digest of its source that the module proxy must have.
TRAEFIK = "github.com/traefik/traefik/v3@v3.7.13", "h1:T8wy9KuaFzCkmXCqAzDy7t73pBDR1DHrJe3pqXpNXTw="
LEGO = "github.com/go-acme/lego/v5@v5.4.1", "h1:Jt6xAP9xQrJ3SLLGgxejfDDd3pzdrmuLCWe4oTqHHQc="
# What Traefik 3.7.13 is built with instead of modules that the module proxy does not have. Its own replacement of
# gorilla/mux stays.
REPLACED = {
    "github.com/traefik/traefik/dynamic/ext": "./ext",
    "github.com/go-acme/lego/v5": "./lego",
    "github.com/abbot/go-http-auth": "github.com/containous/go-http-auth@v0.4.1-0.20200324110947-a37a7636d23e",
}
# Files of the folder traefik, by where they go.
GIVEN = {
    "ext/go.mod": "ext.mod.txt",
    "ext/ext.go": "ext.go.txt",
    "lego/providers/dns/zz_gen_dns_providers.go": "providers.go.txt",
}


def make_debian(folder):
    parts.unpack_debian(folder, DEBIAN)


def make_caddy(folder):
    """Builds Caddy from the module proxy: some minutes, once."""
    parts.run("go", "install", "github.com/caddyserver/caddy/v2/cmd/caddy@" + CADDY,
              env=dict(os.environ, GOBIN=folder, GOFLAGS="-trimpath"))


def copy_module(module, target):
    """Copies a module's source, to be changed."""
    name, digest = module
    got = json.loads(parts.run("go", "mod", "download", "-json", name, cwd=os.path.dirname(target), stdout=subprocess.PIPE))
    if got.get("Sum") != digest:
        parts.fail("%s has the digest %s, expected %s" % (name, got.get("Sum"), digest))
    shutil.copytree(got["Dir"], target)
    parts.run("chmod", "-R", "u+w", target)


def make_traefik(folder):
    """Builds Traefik from the module proxy: ten minutes on two cores, once, at a low priority."""
    source = os.path.join(folder, "source")
    copy_module(TRAEFIK, source)
    copy_module(LEGO, os.path.join(source, "lego"))
    for path, name in GIVEN.items():
        os.makedirs(os.path.dirname(os.path.join(source, path)), exist_ok=True)
        shutil.copy(os.path.join(HERE, "traefik", name), os.path.join(source, path))
    go = dict(os.environ, GOFLAGS="-mod=mod -buildvcs=false", GOWORK="off", GOMEMLIMIT="3GiB")
    parts.run("go", "mod", "edit", *["-replace=%s=%s" % pair for pair in REPLACED.items()], cwd=source, env=go)
    parts.run("nice", "-n", "10", "go", "build", "-p", "2", "-trimpath", "-ldflags", "-s -w",
              "-o", os.path.join(folder, "traefik"), "./cmd/traefik", cwd=source, env=go)
    shutil.rmtree(source)


# What a part holds when it is whole, how it is made, and what it is made from.
PARTS = {
    "debian": ("root/usr/sbin/haproxy", make_debian, [repr(DEBIAN)]),
    "caddy": ("caddy", make_caddy, [CADDY]),
}
TRAEFIK_PARTS = {
    "traefik": ("traefik", make_traefik, [repr((TRAEFIK, LEGO, REPLACED, GIVEN)), os.path.join(HERE, "traefik", "*")]),
}


def main():
    if sys.argv[1:] not in ([], ["traefik"]):
        parts.fail("expected no argument, or traefik")
    print(parts.link_all("fronts", parts.make_all("fronts", TRAEFIK_PARTS if sys.argv[1:] else PARTS)))


if __name__ == "__main__":
    main()
