package web

import (
	"bytes"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"skein/config"
	"skein/web/http1"
)

// files serves what lies in a route's directory, and finds the scripts there that a FastCGI pool runs. A path is looked for
// as the configuration's try says; who finds nothing goes to the pool, unless that runs scripts only.
//
// The root is looked up again for each file, so that a deploy that switches a symbolic link is seen at once. A script is
// given to the pool by the root's real path: PHP's opcode cache knows a file by its path and would go on with the old release
// otherwise (what nginx users write as $realpath_root).
type files struct {
	cfg   *config.Files
	tries []try
	local bool // scripts lie where we can see them: those that are missing need not be asked for
	runs  bool // the pool runs scripts
	types map[string][]byte
	real  atomic.Pointer[realRoot]
	works sync.Pool    // *fileWork
	told  atomic.Int64 // second of the last complaint
}

// try is one thing to look for.
type try struct {
	path   bool   // the request's path comes first
	rest   string // then this
	dir    bool   // it is a directory's index that is wanted
	status int    // or just this answer
}

// realRoot is the root without symbolic links, and the directory that it was then.
type realRoot struct {
	dev, ino uint64
	ctime    unix.Timespec
	path     string
}

// script is what a FastCGI member shall run.
type script struct {
	root string // as the member sees it
	name []byte // below root: /index.php
	info []byte // what the path has behind the name
}

// fileWork is what serving a file needs.
type fileWork struct {
	name   []byte // the decoded path, and below it the path on disk
	disk   []byte
	text   []byte // of the answer's fields
	fields []Field
	ranges []span
	codes  []string // codings that the file has a sibling in
}

func newFiles(c *config.Files, pool *config.Pool) *files {
	if c == nil {
		return nil
	}
	f := &files{cfg: c, types: fileTypes(), runs: pool != nil && pool.Protocol == "fastcgi"}
	f.types[""] = []byte("application/octet-stream")
	f.local = c.ScriptRoot == "" || c.ScriptRoot == c.Root
	f.works.New = func() any { return &fileWork{} }
	for _, s := range c.Try {
		t := try{}
		if status, ok := strings.CutPrefix(s, "="); ok {
			t.status, _ = strconv.Atoi(status)
		}
		t.rest, t.path = strings.CutPrefix(s, "{path}")
		t.dir = strings.HasSuffix(s, "/")
		f.tries = append(f.tries, t)
	}
	return f
}

// outcome is what looking for a file came to.
type outcome uint8

const (
	missing  outcome = iota
	answered         // it was served, or something else was answered
	passed           // the pool has it
)

// serveFiles answers from the route's directory, or names the script to run. It reports false if the exchange is the pool's.
func (w *Web) serveFiles(x *exchange) bool {
	f := x.route.files
	k := f.works.Get().(*fileWork)
	defer f.works.Put(k)
	if x.path[0] == '/' {
		path := x.path
		if s := x.route.strip; len(s) > 0 && bytes.HasPrefix(path, s) {
			if path = path[len(s):]; len(path) == 0 || path[0] != '/' {
				path = append([]byte{'/'}, path...)
			}
		}
		var plain int
		k.name, plain = decodePath(k.name[:0], path)
		for i := range f.tries {
			t := &f.tries[i]
			if t.status != 0 {
				w.fail(x, t.status, "there is no such file")
				return true
			}
			switch w.try1(x, f, k, t, plain) {
			case answered:
				return true
			case passed:
				return false
			}
		}
	}
	if x.route.pool != nil && !f.runs {
		return false
	}
	w.fail(x, http.StatusNotFound, "there is no such file")
	return true
}

// try1 looks for one of the things to look for.
func (w *Web) try1(x *exchange, f *files, k *fileWork, t *try, plain int) outcome {
	n := len(k.name)
	name := append(k.name, t.rest...) // the next try wants the request's path again: k.name stays as it is
	switch {
	case !t.path:
		name = name[n:]
		plain = len(name)
	case plain == n:
		plain = len(name)
	}
	if t.dir {
		whole := plain == len(name)
		return w.tryIndex(x, f, k, bytes.TrimRight(name, "/"), whole)
	}
	return w.tryName(x, f, k, name, plain, !t.path)
}

// tryName looks for a file or a script. The first bytes of name, plain of them, can be a file's name. Ours is a name that the
// configuration has written.
func (w *Web) tryName(x *exchange, f *files, k *fileWork, name []byte, plain int, ours bool) outcome {
	if f.cfg.Script != "" {
		for end := scriptEnd(name, f.cfg.Script, 0); end > 0 && end <= plain; end = scriptEnd(name, f.cfg.Script, end) {
			if !ours && f.refuses(name[:end]) {
				return missing
			}
			switch w.run(x, f, k, name[:end], name[end:]) {
			case answered:
				return answered
			case passed:
				return passed
			}
			if !f.local {
				break
			}
		}
	}
	if plain < len(name) || name[len(name)-1] == '/' || !ours && f.refuses(name) || f.cfg.Script != "" && isSource(name, f.cfg.Script) {
		return missing
	}
	return w.serveFile(x, f, k, name)
}

// refuses reports whether a name that a visitor wrote is none that he may see.
func (f *files) refuses(name []byte) bool {
	return hasDots(name) || !f.cfg.Hidden && hasHidden(name)
}

// tryIndex looks for the index of a directory, whose name is without a slash at the end.
func (w *Web) tryIndex(x *exchange, f *files, k *fileWork, dir []byte, plain bool) outcome {
	if !plain || len(f.cfg.Index) == 0 || f.refuses(dir) {
		return missing
	}
	// Also where scripts lie elsewhere: who has a directory of that name here has its assets there, and every other path that
	// ends in a slash is the application's.
	if f.modeOf(k, f.cfg.Root, dir) != unix.S_IFDIR {
		return missing
	}
	n := len(dir)
	slash := x.path[len(x.path)-1] == '/'
	for _, index := range f.cfg.Index {
		name := append(append(dir[:n:n], '/'), index...)
		if !slash {
			// Links in the page would lead beside the directory otherwise.
			if f.modeOf(k, f.cfg.Root, name) == unix.S_IFREG {
				w.toDirectory(x)
				return answered
			}
			continue
		}
		if o := w.tryName(x, f, k, name, len(name), true); o != missing {
			return o
		}
	}
	return missing
}

// modeOf is what kind of thing is there (S_IFREG, S_IFDIR), 0 if nothing.
func (f *files) modeOf(k *fileWork, root string, name []byte) uint32 {
	k.disk = append(append(k.disk[:0], root...), name...)
	var st unix.Stat_t
	if stat(k.disk, &st) != nil {
		return 0
	}
	return uint32(st.Mode) & unix.S_IFMT
}

// toDirectory sends the visitor to the same path with a slash.
func (w *Web) toDirectory(x *exchange) {
	// Two slashes at the beginning would name another host.
	to := append([]byte{'/'}, bytes.TrimLeft(x.path, "/")...)
	to = append(to, '/')
	if x.query != nil {
		to = append(append(to, '?'), x.query...)
	}
	status := http.StatusMovedPermanently
	if x.method != http.MethodGet && x.method != http.MethodHead {
		status = http.StatusPermanentRedirect // 301 may turn a POST into a GET (RFC 9110 section 15.4.2)
	}
	x.line.cause = causeLocal
	w.local(x, status, nil, Field{Name: []byte("Location"), Value: to, ID: http1.Location})
}

// run names the script for the pool, if it is there or only the pool can tell. Without a pool that runs scripts nobody may see
// them.
func (w *Web) run(x *exchange, f *files, k *fileWork, name, info []byte) outcome {
	root := f.cfg.ScriptRoot
	if f.local {
		if root = f.realRoot(); root == "" {
			return missing
		}
		if f.modeOf(k, root, name) != unix.S_IFREG {
			return missing
		}
	}
	if !f.runs {
		return missing
	}
	// The exchange outlives the work.
	both := append(append(make([]byte, 0, len(name)+len(info)), name...), info...)
	x.script = script{root: root, name: both[:len(name):len(name)], info: both[len(name):]}
	return passed
}

// realRoot is the root's real path now; "" if there is none.
func (f *files) realRoot() string {
	var st unix.Stat_t
	for {
		err := unix.Stat(f.cfg.Root, &st)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return ""
		}
	}
	dev := uint64(st.Dev) //nolint:unconvert // it is of another type elsewhere
	if r := f.real.Load(); r != nil && r.dev == dev && r.ino == st.Ino && r.ctime == st.Ctim {
		return r.path
	}
	path, err := filepath.EvalSymlinks(f.cfg.Root)
	if err != nil {
		return ""
	}
	// The link may be switched between the two calls: then the next request finds another directory than this one and asks again.
	f.real.Store(&realRoot{dev, st.Ino, st.Ctim, path})
	return path
}

// complain logs what is wrong with the disk or the machine, at most once a second.
func (w *Web) complain(f *files, name []byte, err error) {
	now := time.Now().Unix()
	if last := f.told.Load(); last != now && f.told.CompareAndSwap(last, now) {
		w.log.Error("a file could not be read", "root", f.cfg.Root, "file", string(name), "error", err)
	}
}
