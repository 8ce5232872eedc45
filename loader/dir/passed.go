package dir

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxHead is how much of a file PassedOver looks at.
const maxHead = 4 << 10

// PassedOver returns the files of directories that hold manifests and whose names keep them from being
// read, such as a.yml2 and a.yaml.bak, by name. Hidden files are passed over on purpose.
func PassedOver(roots []string) []string {
	var list []string
	for _, root := range roots {
		_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil: // a load reports it
				return nil
			case path != root && strings.HasPrefix(entry.Name(), "."):
				if entry.IsDir() {
					return fs.SkipDir
				}
			case path != root && entry.Type().IsRegular() && !isRead(entry.Name()) && holdsManifest(path):
				list = append(list, path)
			}
			return nil
		})
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// isRead reports whether files of a name are read, as manifests or as something else.
func isRead(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

// holdsManifest reports whether a file begins as manifests do.
func holdsManifest(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	head, err := io.ReadAll(io.LimitReader(file, maxHead))
	return err == nil && bytes.Contains(head, []byte("\nkind: ")) && bytes.Contains(head, []byte("apiVersion: patgate.dev/"))
}
