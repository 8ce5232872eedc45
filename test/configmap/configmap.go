// Package configmap does to a directory what the kubelet does to the mount of a
// ConfigMap, for tests of those who read one.
package configmap

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Mount is a directory that holds a ConfigMap. The zero value is not mounted.
type Mount struct {
	Dir  string
	step int
}

// Write makes files, by name, the content of the mount: all of them at once, by the
// rename of one symbolic link, as the kubelet's atomic writer does. The names that
// people see are links into it. A name may have folders in it, as the items of a volume may.
func (m *Mount) Write(files map[string]string) error {
	m.step++
	old, _ := os.Readlink(filepath.Join(m.Dir, "..data"))
	stamp := fmt.Sprintf("..2026_11_22_%06d", m.step)
	if err := os.MkdirAll(filepath.Join(m.Dir, stamp), 0o755); err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(m.Dir, stamp, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	next := filepath.Join(m.Dir, "..data_tmp")
	if err := os.Symlink(stamp, next); err != nil {
		return err
	}
	if err := os.Rename(next, filepath.Join(m.Dir, "..data")); err != nil {
		return err
	}
	if err := m.links(files); err != nil {
		return err
	}
	if old == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(m.Dir, old))
}

// links makes a link for each name that is new, and removes those of names that went. Of
// a name with folders the first has the link.
func (m *Mount) links(files map[string]string) error {
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		return err
	}
	wanted, have := map[string]bool{}, map[string]bool{}
	for name := range files {
		first, _, _ := strings.Cut(name, "/")
		wanted[first] = true
	}
	for _, e := range entries {
		name := e.Name()
		if !wanted[name] && e.Type()&os.ModeSymlink != 0 && name[0] != '.' {
			if err := os.Remove(filepath.Join(m.Dir, name)); err != nil {
				return err
			}
		}
		have[name] = true
	}
	for name := range wanted {
		if have[name] {
			continue
		}
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(m.Dir, name)); err != nil {
			return err
		}
	}
	return nil
}
