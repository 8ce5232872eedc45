package audit

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// enlargePipe gives a pipe the size of /proc/sys/fs/pipe-max-size, or the largest
// power of two below it that the user's quota allows.
func enlargePipe(f *os.File) {
	size := 1 << 20
	if text, err := os.ReadFile("/proc/sys/fs/pipe-max-size"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			size = n
		}
	}
	for ; size > 64<<10; size /= 2 {
		if _, err := unix.FcntlInt(f.Fd(), unix.F_SETPIPE_SZ, size); err == nil {
			return
		}
	}
}

// writeNoWait writes to a pipe as much as there is room for (pwritev2, RWF_NOWAIT). Pipes take
// that since Linux 6.4; an error, which one depends, means that this one does not.
func writeNoWait(fd int, b []byte) (int, error) {
	return unix.Pwritev2(fd, [][]byte{b}, -1, unix.RWF_NOWAIT)
}
