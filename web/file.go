package web

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"skein/config"
	"skein/internal/sock"
	"skein/web/http1"
)

// file is an open file that is being served.
type file struct {
	fd    int
	size  int64
	mtime time.Time
	kind  []byte // media type
	tag   []byte // entity tag, with its quotes
	since []byte // mtime as HTTP writes it
	code  string // content coding of a compressed sibling; "" is the file itself
	vary  bool   // there are compressed siblings
}

// fileFailed breaks an answer off whose head has been sent.
func (w *Web) fileFailed(x *exchange, f *files, err error) bool {
	w.complain(f, x.path, err)
	x.line.cause = causeOriginCut
	x.to.abort()
	return false
}
