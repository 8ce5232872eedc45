package loader

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// saved is the last good state of an origin in a file, which survives a restart. Each line of the file is a JSON object: a
// header, the manifests, and the digest of all lines before.
type saved struct {
	Origin string
	Since  time.Time       // when it was loaded
	Files  *Update         // what was loaded
	Ended  []policy.Ending // what was revoked and suspended since
}

// savedFormat is the version of the format.
const savedFormat = "patgate last good state 1"

type savedHead struct {
	Format string          `json:"format"`
	Origin string          `json:"directory"`
	Since  time.Time       `json:"loaded"`
	Files  int             `json:"files"`
	Ended  []policy.Ending `json:"ended,omitempty"`
}

type savedFile struct {
	Name   string `json:"name"`
	Origin string `json:"origin,omitempty"`
	Data   []byte `json:"data"`
}

type savedEnd struct {
	SHA256 string `json:"sha256"`
}

// savedPath returns where the last good state of an origin is kept in a directory.
func savedPath(in, origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return filepath.Join(in, hex.EncodeToString(sum[:8])+".lastgood")
}

// writeState atomically replaces the last good state. If that fails it removes the previous state, which would bring back
// tokens that were revoked since.
func writeState(path string, s *saved) error {
	err := writeSaved(path, s)
	if err == nil {
		return nil
	}
	if gone := os.Remove(path); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		err = fmt.Errorf("%w; and the state before can't be removed: %w", err, gone)
	}
	return err
}

func writeSaved(path string, s *saved) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".patgate-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	buffered := bufio.NewWriterSize(f, 1<<20)
	sum := sha256.New()
	if err := errors.Join(encodeSaved(io.MultiWriter(buffered, sum), sum, s), buffered.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func encodeSaved(w io.Writer, sum hash.Hash, s *saved) error {
	lines := json.NewEncoder(w)
	if err := lines.Encode(savedHead{savedFormat, s.Origin, s.Since, len(s.Files.Documents), s.Ended}); err != nil {
		return err
	}
	for _, f := range s.Files.Documents {
		if err := lines.Encode(savedFile{f.Name, f.Origin, f.Data}); err != nil {
			return err
		}
	}
	return lines.Encode(savedEnd{hex.EncodeToString(sum.Sum(nil))})
}

// readState reads the last good state of an origin. It returns fs.ErrNotExist if there is none, and another error for one
// that is damaged or belongs to another origin.
func readState(path, origin string) (*saved, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file, expected one")
	case info.Mode().Perm()&0o002 != 0:
		return nil, errors.New("everyone may write it, expected mode 0600")
	}
	s, err := decodeSaved(bufio.NewReaderSize(f, 1<<20))
	if err == nil && s.Origin != origin {
		err = fmt.Errorf("it is the state of %s, expected that of %s", s.Origin, origin)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// errDamaged means that a stored state is not what was written.
var errDamaged = errors.New("it is damaged, expected content that matches its digest")

func decodeSaved(r *bufio.Reader) (*saved, error) {
	sum := sha256.New()
	next := func(into any) error {
		line, err := r.ReadBytes('\n')
		if err != nil || json.Unmarshal(line, into) != nil {
			return errDamaged
		}
		sum.Write(line)
		return nil
	}
	var head savedHead
	if err := next(&head); err != nil {
		return nil, err
	}
	if head.Format != savedFormat {
		return nil, errors.New("it is of another format, which this version does not read")
	}
	s := &saved{Origin: head.Origin, Since: head.Since, Ended: head.Ended, Files: &Update{Origin: head.Origin}}
	for range head.Files {
		var f savedFile
		if err := next(&f); err != nil {
			return nil, err
		}
		s.Files.Documents = append(s.Files.Documents, ruleset.File{Name: f.Name, Origin: f.Origin, Data: f.Data, Sum: sha256.Sum256(f.Data)})
	}
	digest := sum.Sum(nil)
	var end savedEnd
	if err := next(&end); err != nil {
		return nil, err
	}
	if written, err := hex.DecodeString(end.SHA256); err != nil || !bytes.Equal(written, digest) {
		return nil, errDamaged
	}
	slices.SortFunc(s.Files.Documents, func(a, b ruleset.File) int { return strings.Compare(a.Name, b.Name) })
	s.Files.Digest = ruleset.Digest(slices.Values(s.Files.Documents), nil)
	return s, nil
}
