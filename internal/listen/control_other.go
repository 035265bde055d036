//go:build !linux

package listen

import "syscall"

// control has nothing to set here.
func control(string, string, syscall.RawConn) error { return nil }
