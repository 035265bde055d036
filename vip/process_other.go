//go:build !linux

package vip

import (
	"errors"
	"fmt"
)

// startProcess is for Linux only, as all that a speaker does is.
func startProcess(string) (process, error) {
	return nil, fmt.Errorf("start the speaker: %w", errors.ErrUnsupported)
}
