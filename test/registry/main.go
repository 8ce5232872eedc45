// Command registry is a real distribution registry, and containerd's client of one, for
// `make test-clients`:
//
//	registry serve ADDRESS DIRECTORY
//	registry copy REFERENCE USER     pushes an image of one layer and pulls it; the password is in PASSWORD
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 3 {
		switch args[0] {
		case "serve":
			return serve(ctx, args[1], args[2])
		case "copy":
			return copyImage(ctx, args[1], args[2], os.Getenv("PASSWORD"))
		}
	}
	return errors.New("usage: registry serve ADDRESS DIRECTORY, or registry copy REFERENCE USER")
}

// serve runs a registry that keeps its blobs in a directory.
func serve(ctx context.Context, address, dir string) error {
	config := &configuration.Configuration{Storage: configuration.Storage{"filesystem": {"rootdirectory": dir}}}
	config.HTTP.Addr = address
	config.HTTP.Secret = "of a test"
	config.Log.Level = "error"
	config.Catalog.MaxEntries = 10
	r, err := registry.NewRegistry(ctx, config)
	if err != nil {
		return err
	}
	return r.ListenAndServe()
}

// layerBytes is more than Envoy would buffer for patgate.
const layerBytes = 8 << 20

// copyImage pushes an image as containerd does, and pulls it again.
func copyImage(ctx context.Context, reference, user, password string) error {
	credentials := func(string) (string, string, error) { return user, password, nil }
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
		docker.WithPlainHTTP(docker.MatchAllHosts),
		docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthCreds(credentials))),
	)})
	layer := make([]byte, layerBytes)
	_, _ = rand.Read(layer)
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)
	manifest, err := json.Marshal(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: described(v1.MediaTypeImageConfig, config), Layers: []v1.Descriptor{described(v1.MediaTypeImageLayer, layer)},
	})
	if err != nil {
		return err
	}
	pusher, err := resolver.Pusher(ctx, reference)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		mediaType string
		data      []byte
	}{{v1.MediaTypeImageLayer, layer}, {v1.MediaTypeImageConfig, config}, {v1.MediaTypeImageManifest, manifest}} {
		if err := push(ctx, pusher, part.mediaType, part.data); err != nil {
			return fmt.Errorf("pushing %s: %w", part.mediaType, err)
		}
	}
	return pull(ctx, resolver, reference, layer)
}

func described(mediaType string, data []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

func push(ctx context.Context, pusher remotes.Pusher, mediaType string, data []byte) error {
	d := described(mediaType, data)
	w, err := pusher.Push(ctx, d)
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	return content.Copy(ctx, w, bytes.NewReader(data), d.Size, d.Digest)
}

// pull reads the manifest and the layer of what was pushed.
func pull(ctx context.Context, resolver remotes.Resolver, reference string, layer []byte) error {
	name, found, err := resolver.Resolve(ctx, reference)
	if err != nil {
		return fmt.Errorf("resolving: %w", err)
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return err
	}
	for _, d := range []v1.Descriptor{found, described(v1.MediaTypeImageLayer, layer)} {
		r, err := fetcher.Fetch(ctx, d)
		if err != nil {
			return fmt.Errorf("pulling %s: %w", d.MediaType, err)
		}
		data, err := io.ReadAll(r)
		_ = r.Close()
		if err != nil || digest.FromBytes(data) != d.Digest {
			return fmt.Errorf("pulling %s: %d bytes, %w", d.MediaType, len(data), errors.Join(err, errors.New("not what was pushed")))
		}
	}
	return nil
}
