//go:build unix

package envoy

import "syscall"

// OwnGroup puts a process into a group of its own.
func OwnGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
