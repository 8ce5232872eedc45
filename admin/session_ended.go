package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// EndedFolder is the folder in which processes that share a directory of tokens record the sessions that were signed out.
const EndedFolder = ".patgate-sessions"

// endedFiles are the sessions that were signed out in any of several processes: an empty file each, which is named
// after the digest of the session's id and its end. Loaders of manifests do not look into the folder.
type endedFiles struct {
	folder string
	mu     sync.Mutex
	swept  time.Time
}

func (f *endedFiles) path(id string, until time.Time) string {
	sum := sha256.Sum256([]byte(id))
	return filepath.Join(f.folder, hex.EncodeToString(sum[:endedSum])+"."+strconv.FormatInt(until.Unix(), 10))
}

// has reports whether a session was signed out. Where that can't be found out, it was.
func (f *endedFiles) has(id string, until time.Time) bool {
	_, err := os.Lstat(f.path(id, until))
	return !errors.Is(err, fs.ErrNotExist)
}

// endedSum is the number of bytes of a digest in a file's name.
const endedSum = 16

// add notes that a session was signed out, and reports whether it was not before. Now and then it drops those that would
// have ended by now.
func (f *endedFiles) add(id string, until, now time.Time) (first bool, err error) {
	if err := os.Mkdir(f.folder, 0o755); err == nil { // Git need not keep it
		err = os.WriteFile(filepath.Join(f.folder, ".gitignore"), []byte("*\n"), 0o644)
		if err != nil {
			return false, err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	if folder, err := os.Lstat(f.folder); err != nil || !folder.IsDir() {
		return false, errors.Join(err, fmt.Errorf("%s: expected a directory, and no link to one", f.folder))
	}
	f.sweep(now)
	file, err := os.OpenFile(f.path(id, until), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	switch {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, file.Close()
}

// sweep removes the files of sessions that have ended by themselves.
func (f *endedFiles) sweep(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since := now.Sub(f.swept); since >= 0 && since < sweepEvery {
		return
	}
	f.swept = now
	entries, err := os.ReadDir(f.folder)
	if err != nil {
		return // the next one does it
	}
	for _, e := range entries {
		sum, end, _ := strings.Cut(e.Name(), ".")
		id, notHex := hex.DecodeString(sum)
		if seconds, err := strconv.ParseInt(end, 10, 64); err == nil && notHex == nil && len(id) == endedSum && now.Unix() > seconds {
			_ = os.Remove(filepath.Join(f.folder, e.Name()))
		}
	}
}
