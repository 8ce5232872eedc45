//go:build kube

package kube

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/patgate/patgate/test/configmap"
)

// volume makes a volume of the pod, if it is not there yet, and returns its folder.
func (p *pod) volume(name string) string {
	t := p.ns.t
	t.Helper()
	dir := filepath.Join(p.dir, name)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	v := named(t, p.items("volumes"), name)
	mode := os.FileMode(0o755)
	if v["emptyDir"] != nil {
		mode = 0o777 // as the kubelet makes it
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	if v["emptyDir"] == nil {
		p.volumes[name] = &configmap.Mount{Dir: dir}
		p.write(name)
	}
	return dir
}

// sync rewrites the volumes from what the API server has now, as the kubelet does
// once a minute or so.
func (p *pod) sync() {
	p.ns.t.Helper()
	for name := range p.volumes {
		p.write(name)
	}
}

func (p *pod) write(name string) {
	p.ns.t.Helper()
	files := map[string]string{}
	v := named(p.ns.t, p.items("volumes"), name)
	sources := []object{v}
	if v["projected"] != nil {
		sources = objects(v.at("projected", "sources"))
	}
	for _, s := range sources {
		for path, text := range p.files(s) {
			if _, twice := files[path]; twice {
				p.ns.t.Fatalf("volume %s has %s twice", name, path)
			}
			files[path] = text
		}
	}
	m := p.volumes[name]
	if err := m.Write(files); err != nil {
		p.ns.t.Fatal(err)
	}
	if err := p.own(m.Dir, v); err != nil {
		p.ns.t.Fatal(err)
	}
}

// own gives a volume's files to root and the pod's fsGroup, with the mode that the volume
// has for them.
func (p *pod) own(dir string, v object) error {
	mode := os.FileMode(0o644)
	for _, kind := range []string{"configMap", "secret", "projected"} {
		if m, ok := v.at(kind, "defaultMode").(float64); ok {
			mode = os.FileMode(m)
		}
	}
	group, grouped := p.object.at("spec", "securityContext", "fsGroup").(float64)
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if grouped {
			return errors.Join(os.Chown(path, 0, int(group)), os.Chmod(path, mode|0o440))
		}
		return os.Chmod(path, mode)
	})
}

// files are those of one source of a volume.
func (p *pod) files(source object) map[string]string {
	t := p.ns.t
	t.Helper()
	for kind, nameKey := range map[string][]string{"configMap": {"name"}, "secret": {"secretName", "name"}} {
		s, ok := source.at(kind).(map[string]any)
		if !ok {
			continue
		}
		name := ""
		for _, key := range nameKey {
			name = or(name, object(s).text(key))
		}
		content := p.content(kind, name, s["optional"] == true)
		items := objects(s["items"])
		if len(items) == 0 {
			return content
		}
		picked := map[string]string{}
		for _, item := range items {
			value, ok := content[item.text("key")]
			if !ok && s["optional"] != true {
				t.Fatalf("%s %s has no key %s", kind, name, item.text("key"))
			}
			picked[item.text("path")] = value
		}
		return picked
	}
	t.Fatalf("a volume that the rig does not know: %v", source)
	return nil
}

// content reads a ConfigMap or Secret from the API server. A pod that names a missing one
// does not start.
func (p *pod) content(kind, name string, optional bool) map[string]string {
	t := p.ns.t
	t.Helper()
	content := map[string]string{}
	out := p.ns.kubectl("get", kind, name, "-o", "json", "--ignore-not-found")
	if out == "" {
		if !optional {
			t.Fatalf("the pod names the %s %s, which is not there", kind, name)
		}
		return content
	}
	data, _ := decode(t, out)["data"].(map[string]any)
	for key, value := range data {
		text := value.(string)
		if strings.EqualFold(kind, "secret") {
			plain, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			text = string(plain)
		}
		content[key] = text
	}
	return content
}
