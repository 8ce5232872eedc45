//go:build unix

package dir

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives a file the owner of the one that it replaces, as far as the system
// lets it: what root edits must stay readable for those who could read it.
func keepOwner(f *os.File, of fs.FileInfo) {
	if s, ok := of.Sys().(*syscall.Stat_t); ok {
		_ = f.Chown(int(s.Uid), int(s.Gid))
	}
}

// openFlags open a file that is no link any more, and a pipe without waiting for who writes it.
const openFlags = syscall.O_NONBLOCK | syscall.O_NOFOLLOW
