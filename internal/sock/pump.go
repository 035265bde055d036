package sock

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// tunnelBuffer is what a tunnel moves at a time. Idle tunnels hold none.
const tunnelBuffer = 16 << 10

// Tunnel moves bytes both ways between a and b until both directions have ended or nothing moved for idle, outside of any
// Loop. The end of one direction is passed on and leaves the other open. It returns how many bytes went from a to b and back,
// and the error that ended it, nil if both directions ended by themselves.
func Tunnel(a, b *Conn, idle time.Duration, buffers *sync.Pool) (ab, ba int64, err error) {
	a.Progress(idle, 0)
	b.Progress(idle, 0)
	a.Arm(idle)
	b.Arm(idle)
	back := make(chan error, 1)
	// The failure of either direction ends the other, whether that waits to receive or to send.
	move := func(dst, src *Conn, moved *int64) error {
		err := pump(dst, src, idle, buffers, moved)
		if err != nil {
			a.Abort()
			b.Abort()
		}
		return err
	}
	go func() { back <- move(a, b, &ba) }()
	err = move(b, a, &ab)
	if e := <-back; err == nil {
		err = e
	}
	return ab, ba, err
}

// pump moves bytes from src to dst until src ends.
func pump(dst, src *Conn, idle time.Duration, buffers *sync.Pool, moved *int64) error {
	var end error
	move := func() bool {
		buf := buffers.Get().(*[]byte)
		defer buffers.Put(buf)
		// To the last byte and once more: an end that came along with the bytes makes no edge of its own.
		for {
			n, err := src.Recv(*buf)
			if err == ErrAgain {
				return false
			}
			if err != nil {
				end = err
				return true
			}
			src.Arm(idle)
			if _, end = dst.Write((*buf)[:n]); end != nil {
				return true
			}
			dst.Arm(idle)
			*moved += int64(n)
		}
	}
	for {
		err := src.Loop(move)
		if err == nil {
			err = end
		}
		switch {
		case err == io.EOF:
			_ = dst.CloseWrite()
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded) && src.Calm():
			continue // a nudge that was meant for a connection that waits for a request
		}
		return err
	}
}

// NewTunnelBuffers returns the pool that [Tunnel] wants.
func NewTunnelBuffers() *sync.Pool {
	return &sync.Pool{New: func() any { b := make([]byte, tunnelBuffer); return &b }}
}
