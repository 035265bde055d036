//go:build !linux

package sock

import (
	"context"
	"errors"
	"time"
)

// Dial is for Linux only.
func (t *Timer) Dial(context.Context, string, string, time.Duration, bool) (*Conn, error) {
	return nil, errors.ErrUnsupported
}
