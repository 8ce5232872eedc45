//go:build !unix

package dir

import (
	"io/fs"
	"os"
)

// keepOwner does nothing: files have no owner that a program sets.
func keepOwner(*os.File, fs.FileInfo) {}

// openFlags are none here.
const openFlags = 0
