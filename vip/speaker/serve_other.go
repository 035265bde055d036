//go:build !linux

package speaker

import (
	"errors"
	"io"
)

// ErrNoChannel says that the process was not started by a balancer.
var ErrNoChannel = errors.New("descriptor 3 is no channel to a balancer")

// Serve is for Linux only.
func Serve([]string, io.Writer) error { return errors.ErrUnsupported }
