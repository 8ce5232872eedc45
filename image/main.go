// Command image builds patgate's container image without a container engine: an OCI
// layout for every platform, and a tar for `docker load`. Two builds of one commit have
// the same digest: times come from the commit, and order and owners are fixed.
//
// It exists because `docker build` needs an engine and does not give reproducible digests by
// itself. A builder such as ko or apko that makes the same image reproducibly would replace it.
//
//	go -C image run . -out ../bin/image
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("image: ")
	source := flag.String("source", "..", "`folder` of the checkout")
	out := flag.String("out", "../bin/image", "`folder` that gets the image")
	platforms := flag.String("platforms", "linux/amd64,linux/arm64", "what to build for, divided by commas")
	tag := flag.String("tag", "ghcr.io/patgate/patgate:dev", "`name` of the image in patgate.tar")
	licenses := flag.String("licenses", "", "write the licenses of all that is compiled in to this `folder`, and nothing else")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("%s: takes flags alone", flag.Arg(0))
	}
	var err error
	if *licenses != "" {
		err = writeLicenses(*source, *licenses)
	} else {
		err = build(*source, *out, *tag, strings.Split(*platforms, ","))
	}
	if err != nil {
		log.Fatal(err)
	}
}

// build writes OUT/oci, OUT/patgate.tar for this machine's architecture where it is among
// the platforms, and the binaries as OUT/patgate-OS-ARCH.
func build(source, out, tag string, platforms []string) error {
	ref, err := name.NewTag(tag)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var images []platformImage
	for _, p := range platforms {
		platform, err := v1.ParsePlatform(p)
		if err != nil {
			return fmt.Errorf("%s: %w, expected OS/ARCH such as linux/amd64", p, err)
		}
		binary := filepath.Join(out, fmt.Sprintf("patgate-%s-%s", platform.OS, platform.Architecture))
		if err := compile(source, binary, platform.OS, platform.Architecture); err != nil {
			return err
		}
		img, err := newImage(source, binary, *platform)
		if err != nil {
			return err
		}
		images = append(images, platformImage{img, *platform})
		if platform.Architecture == runtime.GOARCH {
			if err := tarball.WriteToFile(filepath.Join(out, "patgate.tar"), ref, img); err != nil {
				return err
			}
		}
	}
	index, err := newIndex(images)
	if err != nil {
		return err
	}
	// A layout keeps the blobs of earlier builds.
	folder := filepath.Join(out, "oci")
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if _, err := layout.Write(folder, index); err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	fmt.Println(digest)
	return nil
}
