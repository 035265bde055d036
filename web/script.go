package web

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
)

// formSize is the largest body of known length that is taken in before a member is asked, in bytes: what a form has. A PHP
// worker can do nothing else while it waits for a slow visitor; and a request whose body is all here can be sent twice.
const formSize = 64 << 10

// runScript lets a FastCGI member run the exchange's script. A script must know the length of its input before it starts, so
// that a body of unknown length is taken in first. Long ones pass through as they come: a file on the way would double the
// work of the disk, and they have a minimum rate.
func (w *Web) runScript(x *exchange) {
	if x.script.name == nil {
		w.fail(x, http.StatusNotFound, "there is no such script")
		return
	}
	if x.body != nil && x.length <= formSize {
		f, err := w.spool(x)
		if f != nil {
			defer f.Close()
		}
		if err != nil {
			w.unserved(x, nil, w.spoolFailed(x, err))
			return
		}
	}
	w.forward(x)
}

// gatherSize is the largest body of known length of a stream that is taken in before a member is asked, in bytes.
const gatherSize = 16 << 10

// gather takes in a small body that comes on a stream: a request whose body is whole can be sent twice. In HTTP/1 such a body comes
// with its head nearly always; in HTTP/2 and HTTP/3 it is a frame of its own, so that the very same request would be lost there
// with its member. Who waits for 100 Continue waits for the member's. It returns false if the exchange was answered instead.
func (w *Web) gather(x *exchange) bool {
	if x.body == nil || x.guard.sock != nil || x.expect || x.length < 0 || x.length > gatherSize {
		return true
	}
	if _, err := w.spool(x); err != nil {
		w.unserved(x, nil, w.bodyFailed(x, err))
		return false
	}
	return true
}

// inMemory is how much of a body is held in memory before it goes to a file, in bytes.
const inMemory = 1 << 20

// errSpool is a temporary file that does not take the body.
var errSpool = errors.New("the temporary file of a body of unknown length")

// spool takes the whole body of an exchange in: into memory, and what is larger into a file that has no name any more. The
// site's max_body bounds it.
func (w *Web) spool(x *exchange) (*os.File, error) {
	if x.expect {
		x.expect = false
		if err := x.to.interim(http.StatusContinue, nil); err != nil {
			return nil, err
		}
	}
	var f *os.File
	var held []byte
	total := int64(0)
	for {
		p, err := x.body.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return f, err
		}
		total += int64(len(p))
		if f == nil && total <= inMemory {
			held = append(held, p...)
			continue
		}
		if f == nil {
			if f, err = tempFile(); err != nil {
				return nil, errors.Join(errSpool, err)
			}
			if _, err := f.Write(held); err != nil {
				return f, errors.Join(errSpool, err)
			}
			held = nil
		}
		if _, err := f.Write(p); err != nil {
			return f, errors.Join(errSpool, err)
		}
	}
	x.length, x.body = total, nil
	if f == nil {
		x.small = held
		return nil, nil
	}
	x.body = &spooled{f: f, length: total, buf: make([]byte, bodySize)}
	return f, nil
}

// tempFile opens a file that is gone as soon as it is closed, whatever becomes of us.
func tempFile() (*os.File, error) {
	f, err := os.CreateTemp("", "skein-body-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// spoolFailed says why a body could not be taken in.
func (w *Web) spoolFailed(x *exchange, err error) *failure {
	if errors.Is(err, errSpool) {
		w.log.Error("a request's body could not be stored", "directory", os.TempDir(), "error", err)
		return &failure{status: http.StatusInsufficientStorage, cause: causeLocal}
	}
	return w.bodyFailed(x, err)
}

// spooled is a body that lies in a file.
type spooled struct {
	f       *os.File
	length  int64
	at      int64
	buf     []byte
	stopped atomic.Bool
}

func (s *spooled) next() ([]byte, error) {
	if s.stopped.Load() {
		return nil, errSpool
	}
	if s.at >= s.length {
		return nil, io.EOF
	}
	n, err := s.f.ReadAt(s.buf[:min(int64(len(s.buf)), s.length-s.at)], s.at)
	if n == 0 {
		return nil, errors.Join(errSpool, err)
	}
	s.at += int64(n)
	return s.buf[:n], nil
}

func (s *spooled) last() bool        { return s.at >= s.length }
func (s *spooled) trailers() []Field { return nil }
func (s *spooled) stop()             { s.stopped.Store(true) }

// limit has nothing to do: the body was held against it when it was taken in.
func (s *spooled) limit(int64) {}
