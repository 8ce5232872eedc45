package main

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// tag is what the tests tag the commit with before they build it. (Go treats a tag of v2 or
// more as a version of this module only if its path ends in /v2.)
const tag = "v1.98.7"

// first is the image that the tests look into, and source the clone that it was built from.
var first, source string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "patgate-image-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		source, first = filepath.Join(dir, "source"), filepath.Join(dir, "out")
		if err := buildClone("..", source, first); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// buildClone builds the last commit of a checkout, as a release does: from a clone that
// has the tag.
func buildClone(checkout, folder, out string) error {
	for _, args := range [][]string{
		{"clone", "--quiet", "--no-hardlinks", checkout, folder},
		{"-C", folder, "tag", "--force", tag},
	} {
		if text, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, text)
		}
	}
	return build(folder, out, "ghcr.io/patgate/patgate:dev", []string{"linux/amd64", "linux/arm64"})
}

// images returns the images of a layout by their architectures.
func images(t *testing.T, out string) (v1.ImageIndex, map[string]v1.Image) {
	t.Helper()
	index, err := layout.ImageIndexFromPath(filepath.Join(out, "oci"))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]v1.Image{}
	for _, m := range manifest.Manifests {
		img, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		list[m.Platform.String()] = img
	}
	return index, list
}

// TestConfig checks what a container runtime reads: the user, the command, the labels.
func TestConfig(t *testing.T) {
	head, err := exec.Command("git", "-C", source, "show", "--no-patch", "--format=%H %cI", "HEAD").Output()
	if err != nil {
		t.Fatal(err)
	}
	revision, stamp, _ := strings.Cut(strings.TrimSpace(string(head)), " ")
	when, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		t.Fatal(err)
	}
	_, list := images(t, first)
	if len(list) != 2 {
		t.Errorf("%d platforms, want 2", len(list))
	}
	for platform, img := range list {
		c, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []struct{ what, got, want string }{
			{"platform", c.OS + "/" + c.Architecture, platform},
			{"user", c.Config.User, "65532:65532"},
			{"entrypoint", strings.Join(c.Config.Entrypoint, " "), "/patgate"},
			{"command", strings.Join(c.Config.Cmd, " "), ""},
			{"environment", strings.Join(c.Config.Env, " "), ""},
			{"version", c.Config.Labels["org.opencontainers.image.version"], tag},
			{"revision", c.Config.Labels["org.opencontainers.image.revision"], revision},
			{"licenses", c.Config.Labels["org.opencontainers.image.licenses"], "Apache-2.0"},
			{"source", c.Config.Labels["org.opencontainers.image.source"], "https://github.com/patgate/patgate"},
			{"time", c.Created.UTC().Format(time.RFC3339), when.UTC().Format(time.RFC3339)},
		} {
			if want.got != want.want {
				t.Errorf("%s: %s is %q, want %q", platform, want.what, want.got, want.want)
			}
		}
		for _, port := range []string{"9191/tcp", "9192/tcp"} {
			if _, ok := c.Config.ExposedPorts[port]; !ok {
				t.Errorf("%s: the port %s is not exposed", platform, port)
			}
		}
	}
}

// TestFiles checks that the image holds the program, the licenses of all that is compiled in, and nothing
// else: no shell, no file that a user other than root may change.
func TestFiles(t *testing.T) {
	_, list := images(t, first)
	for platform, img := range list {
		binary := filepath.Join(first, "patgate-"+strings.ReplaceAll(platform, "/", "-"))
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		missing := map[string]bool{"go": true, info.Main.Path: true}
		for _, m := range info.Deps {
			missing[m.Path] = true
		}
		program := false
		for _, f := range entries(t, img) {
			if f.Uid != 0 || f.Gid != 0 || f.Mode&0o7022 != 0 {
				t.Errorf("%s: %s has owner %d:%d and mode %o", platform, f.Name, f.Uid, f.Gid, f.Mode)
			}
			folder, isLicense := strings.CutPrefix(filepath.Dir(f.Name), "licenses/")
			switch {
			case f.Typeflag == tar.TypeDir && strings.HasPrefix(f.Name+"/", "licenses/"):
			case f.Typeflag == tar.TypeReg && f.Name == "patgate" && f.Mode == 0o555:
				program = true
			case f.Typeflag == tar.TypeReg && isLicense && f.Mode == 0o444:
				delete(missing, folder)
			default:
				t.Errorf("%s: unexpected file %s", platform, f.Name)
			}
		}
		if !program {
			t.Errorf("%s: no /patgate", platform)
		}
		for module := range missing {
			t.Errorf("%s: no license of %s", platform, module)
		}
	}
}

func entries(t *testing.T, img v1.Image) (list []*tar.Header) {
	t.Helper()
	content := mutate.Extract(img)
	defer content.Close()
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, h)
	}
}

// maxBinary bounds the program, so that a dependency that adds much is noticed: client-go, gRPC with Envoy's types and
// templates, which keep every exported method alive, are most of its 30 MiB.
const maxBinary = 32 << 20

// TestStatic checks that the program needs no interpreter and no library, and is not too large.
func TestStatic(t *testing.T) {
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		f, err := elf.Open(filepath.Join(first, "patgate-linux-"+arch))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if f.Machine != machine {
			t.Errorf("%s is for %s", arch, f.Machine)
		}
		if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
			t.Errorf("%s needs an interpreter", arch)
		}
		if info, err := os.Stat(filepath.Join(first, "patgate-linux-"+arch)); err != nil {
			t.Error(err)
		} else if info.Size() > maxBinary {
			t.Errorf("%s has %d bytes, want at most %d", arch, info.Size(), maxBinary)
		}
		if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
			t.Errorf("%s needs the libraries %v, %v", arch, libraries, err)
		}
	}
}

// TestTwoBuildsAreOne checks that a build in another folder has the same digest.
func TestTwoBuildsAreOne(t *testing.T) {
	second := filepath.Join(t.TempDir(), "out")
	mustDo(t, buildClone(source, filepath.Join(t.TempDir(), "another folder", "patgate"), second))
	var digests [2]v1.Hash
	for i, out := range []string{first, second} {
		index, _ := images(t, out)
		var err error
		if digests[i], err = index.Digest(); err != nil {
			t.Fatal(err)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("two builds of one commit: %s and %s", digests[0], digests[1])
	}
}

// TestRegistryTakesIt pushes the index by the documented command, and pulls it back whole.
func TestRegistryTakesIt(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/patgate/patgate:1.98.7")
	mustDo(t, err)
	out, err := exec.Command("go", "tool", "crane", "push", filepath.Join(first, "oci"), ref.String(), "--index").CombinedOutput()
	if err != nil {
		t.Fatalf("crane push: %v: %s", err, out)
	}
	back, err := remote.Index(ref)
	mustDo(t, err)
	if err := validate.Index(back); err != nil {
		t.Error(err)
	}
	index, _ := images(t, first)
	want, err := index.Digest()
	mustDo(t, err)
	if got, err := back.Digest(); got != want || err != nil {
		t.Errorf("%s came back, %v, want %s", got, err, want)
	}
	if !strings.Contains(string(out), want.String()) {
		t.Errorf("crane does not name the digest %s: %s", want, out)
	}
}

// TestDockerTar checks that patgate.tar is the image of this machine's architecture.
func TestDockerTar(t *testing.T) {
	ref, err := name.NewTag("ghcr.io/patgate/patgate:dev")
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(filepath.Join(first, "patgate.tar"), &ref)
	if err != nil {
		t.Fatal(err)
	}
	_, list := images(t, first)
	want, err := list["linux/"+runtime.GOARCH].ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := img.ConfigName(); got != want || err != nil {
		t.Errorf("the configuration %s, %v, want %s", got, err, want)
	}
}

// TestNoCommit checks that a folder outside of Git is refused: the image could not say what it holds.
func TestNoCommit(t *testing.T) {
	if _, err := commitOf(&buildinfo.BuildInfo{}); err == nil || !strings.Contains(err.Error(), "names no commit") {
		t.Errorf("%v", err)
	}
}

// TestBillOfMaterials checks that an SBOM of each binary names the program, its version and
// every module in it, with its version.
func TestBillOfMaterials(t *testing.T) {
	tool := os.Getenv("CYCLONEDX_GOMOD")
	if tool == "" {
		t.Fatal("CYCLONEDX_GOMOD is not set: run `make test-image`")
	}
	for _, arch := range []string{"amd64", "arm64"} {
		binary := filepath.Join(first, "patgate-linux-"+arch)
		cmd := exec.Command(tool, "bin", "-json", "-std", "-noserial", "-licenses=false", binary)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		text, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, errs.String())
		}
		type component struct{ Name, Version, PURL string }
		var bom struct {
			BOMFormat  string
			Metadata   struct{ Component component }
			Components []component
		}
		if err := json.Unmarshal(text, &bom); err != nil {
			t.Fatal(err)
		}
		if c := bom.Metadata.Component; bom.BOMFormat != "CycloneDX" || c.Name != "github.com/patgate/patgate" || c.Version != tag {
			t.Errorf("%s: %s of %s %s", arch, bom.BOMFormat, c.Name, c.Version)
		}
		got := map[string]string{}
		for _, c := range bom.Components {
			got[c.Name] = c.Version
		}
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Deps) < 10 {
			t.Errorf("%s: a binary of %d modules", arch, len(info.Deps))
		}
		for _, m := range info.Deps {
			if got[m.Path] != m.Version {
				t.Errorf("%s: %s is %q, want %s", arch, m.Path, got[m.Path], m.Version)
			}
		}
		if want := strings.Replace(info.GoVersion, "go", "", 1); strings.TrimPrefix(got["std"], "go") != want {
			t.Errorf("%s: the standard library is %q, want %s", arch, got["std"], want)
		}
	}
}
