package main

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	// user is nonroot of the distroless images, as a number: only so can
	// Kubernetes' runAsNonRoot be sure of it.
	user = "65532:65532"

	entrypoint = "/patgate"
	home       = "https://github.com/patgate/patgate"
)

// ports are the defaults of --listen and --status-listen.
var ports = []string{"9191/tcp", "9192/tcp"}

// labels are OCI's annotations that don't depend on the build.
var labels = map[string]string{
	"org.opencontainers.image.title":         "patgate",
	"org.opencontainers.image.description":   "The gate for API tokens in front of any HTTP API: an external-authorization server for Envoy",
	"org.opencontainers.image.licenses":      "Apache-2.0",
	"org.opencontainers.image.source":        home,
	"org.opencontainers.image.url":           home,
	"org.opencontainers.image.documentation": home + "#readme",
	"org.opencontainers.image.vendor":        "patgate",
}

// newImage makes an image without a base: a binary and the licenses of its parts.
func newImage(source, binary string, platform v1.Platform) (v1.Image, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	from, err := commitOf(info)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", binary, err)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	files, err := licensesOf(source, info)
	if err != nil {
		return nil, err
	}
	// Two layers: the licenses stay the same from release to release.
	below, err := newLayer(files, 0o444, from.time)
	if err != nil {
		return nil, err
	}
	above, err := newLayer(map[string][]byte{strings.TrimPrefix(entrypoint, "/"): program}, 0o555, from.time)
	if err != nil {
		return nil, err
	}
	img, err := mutate.ConfigFile(empty.Image, configOf(platform, from))
	if err != nil {
		return nil, err
	}
	img = mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.OCIConfigJSON)
	history := func(what string) v1.History {
		return v1.History{Created: v1.Time{Time: from.time}, CreatedBy: "image: " + what}
	}
	return mutate.Append(img, mutate.Addendum{Layer: below, History: history("licenses")}, mutate.Addendum{Layer: above, History: history("patgate")})
}

func configOf(platform v1.Platform, from commit) *v1.ConfigFile {
	c := &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture, Created: v1.Time{Time: from.time},
		Config: v1.Config{
			User: user, Entrypoint: []string{entrypoint}, WorkingDir: "/",
			ExposedPorts: map[string]struct{}{}, Labels: maps.Clone(labels),
		},
		RootFS: v1.RootFS{Type: "layers"},
	}
	for _, p := range ports {
		c.Config.ExposedPorts[p] = struct{}{}
	}
	maps.Copy(c.Config.Labels, from.labels())
	return c
}

// labels are OCI's annotations of this build.
func (c commit) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.version":  c.version,
		"org.opencontainers.image.revision": c.revision,
		"org.opencontainers.image.created":  c.time.Format(time.RFC3339),
	}
}

// newLayer is a layer of these files, owned by root, so that no process in it may
// change them, in the order of their names.
func newLayer(files map[string][]byte, mode int64, when time.Time) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	folders := map[string]bool{".": true}
	var failed error
	add := func(h *tar.Header, data []byte) {
		h.ModTime, h.Format = when, tar.FormatPAX
		err := w.WriteHeader(h)
		if err == nil {
			_, err = w.Write(data)
		}
		failed = errors.Join(failed, err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, folder := range parents(name) {
			if !folders[folder] {
				folders[folder] = true
				add(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755}, nil)
			}
		}
		add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(files[name]))}, files[name])
	}
	if err := errors.Join(failed, w.Close()); err != nil {
		return nil, err
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
	return tarball.LayerFromOpener(opener, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

// parents lists the folders above a file, the outermost first.
func parents(name string) []string {
	var list []string
	for folder := path.Dir(name); folder != "."; folder = path.Dir(folder) {
		list = append([]string{folder}, list...)
	}
	return list
}

// platformImage is the image of one platform.
type platformImage struct {
	v1.Image
	platform v1.Platform
}

// newIndex combines the images of all platforms under one name.
func newIndex(images []platformImage) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range images {
		c, err := img.ConfigFile()
		if err != nil {
			return nil, err
		}
		index = mutate.Annotations(index, c.Config.Labels).(v1.ImageIndex)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img.Image, Descriptor: v1.Descriptor{Platform: &img.platform}})
	}
	return index, nil
}
