package sock

import (
	"io"
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
	go func() {
		err := pump(a, b, idle, buffers, &ba)
		if err != nil {
			a.Abort() // both owners are in this function: either direction's failure ends the other
		}
		back <- err
	}()
	err = pump(b, a, idle, buffers, &ab)
	if err != nil {
		b.Abort()
	}
	if e := <-back; err == nil {
		err = e
	}
	return ab, ba, err
}

// pump moves bytes from src to dst until src ends.
func pump(dst, src *Conn, idle time.Duration, buffers *sync.Pool, moved *int64) error {
	var werr error
	err := src.Loop(func() bool {
		buf := buffers.Get().(*[]byte)
		defer buffers.Put(buf)
		for {
			n, err := src.Recv(*buf)
			if err == ErrAgain {
				return false
			}
			if err != nil {
				werr = err
				return true
			}
			src.Arm(idle)
			if _, werr = dst.Write((*buf)[:n]); werr != nil {
				return true
			}
			dst.Arm(idle)
			*moved += int64(n)
			if n < len(*buf) {
				return false
			}
		}
	})
	if err == nil {
		err = werr
	}
	if err == io.EOF {
		_ = dst.CloseWrite()
		return nil
	}
	return err
}

// NewTunnelBuffers returns the pool that [Tunnel] wants.
func NewTunnelBuffers() *sync.Pool {
	return &sync.Pool{New: func() any { b := make([]byte, tunnelBuffer); return &b }}
}
