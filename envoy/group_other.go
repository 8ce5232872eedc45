//go:build !unix

package envoy

import "syscall"

// OwnGroup changes nothing: there is no Envoy for this system.
func OwnGroup() *syscall.SysProcAttr { return nil }
