package cert

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ocsp"

	"skein/config"
)

const (
	// watchPeriod is how often files are looked at. Looking survives what watching does not: links that are switched, renames
	// over the file, file systems of other machines.
	watchPeriod = 2 * time.Second
	// maxFile bounds a file that a mistake names.
	maxFile = 1 << 20
)

type fileKey struct{ cert, key string }

func (k fileKey) compare(o fileKey) int {
	return cmp.Or(cmp.Compare(k.cert, o.cert), cmp.Compare(k.key, o.key))
}

// file is a certificate from two files (or one that holds both).
type file struct {
	fileKey
	slot

	mu     sync.Mutex // guards what follows
	seen   [2]stamp   // of the files when they were last read well
	failed error      // why the files of now are not shown
	logged bool       // failed is in the log
	again  time.Time  // not to ask a responder at every look
}

// stamp says whether a path leads to other content than before: the inode shows a switched link or a rename although size and
// time are the same.
type stamp struct {
	inode, device uint64
	size, mtime   int64
}

func stampOf(path string) (stamp, error) {
	i, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	s := stamp{size: i.Size(), mtime: i.ModTime().UnixNano()}
	if u, ok := i.Sys().(*syscall.Stat_t); ok {
		s.inode, s.device = u.Ino, uint64(u.Dev) //nolint:unconvert // its type differs between systems
	}
	return s, nil
}

// prepareFile reads the files of a tls block.
func (s *Store) prepareFile(n *next, c *config.TLS) (*file, error) {
	k := fileKey{c.Cert, c.Key}
	if f := n.files[k]; f != nil {
		return f, nil
	}
	f := s.files[k]
	if f == nil {
		f = &file{fileKey: k}
	}
	read, err := readPair(k)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: tls %q: %w", c.Pos.File, c.Pos.Line, c.Name, err)
	}
	n.files[k], n.read[f] = f, read
	return f, nil
}

// pair is what two files hold, and how they looked before they were read: a change during the reading shows at the next look.
type pair struct {
	*shown
	seen [2]stamp
}

func readPair(k fileKey) (*pair, error) {
	var seen [2]stamp
	var text [2][]byte
	for i, path := range []string{k.cert, k.key} {
		var err error
		if seen[i], err = stampOf(path); err != nil {
			return nil, err
		}
		if text[i], err = readFile(path); err != nil {
			return nil, err
		}
	}
	c, err := tls.X509KeyPair(text[0], text[1])
	if err != nil { // its words name what is wrong (no PEM, no match) and quote neither file
		return nil, fmt.Errorf("%s and %s: %w", k.cert, k.key, err)
	}
	show, err := newShown(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.cert, err)
	}
	return &pair{show, seen}, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = errors.New("more than 1 MiB: not a certificate or key")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

// take shows p from now on.
func (f *file) take(p *pair) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.failed, f.logged = p.seen, nil, false
	f.show(p.shown)
}

// watch reads files again when they change.
func (s *Store) watch(ctx context.Context) {
	every(ctx, watchPeriod, func() {
		s.mu.Lock()
		files := make([]*file, 0, len(s.files))
		for _, f := range s.files {
			files = append(files, f)
		}
		s.mu.Unlock()
		for _, f := range files {
			s.look(ctx, f)
		}
	})
}

// look reads f's files if they have changed. A pair that does not fit may be half of a change: it is complained about when it
// is still there at the next look, once. Nothing is locked while others are waited for: a reload may be faster.
func (s *Store) look(ctx context.Context, f *file) {
	f.mu.Lock()
	seen := f.seen
	f.mu.Unlock()
	p, err := f.changed(seen)
	if p == nil && err == nil {
		return
	}
	if err == nil && mustStaple(p.tls.Leaf) {
		err = s.stapleFirst(ctx, f, p)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.seen != seen:
	case err != nil:
		if f.failed != nil && !f.logged {
			s.log.Warn("changed certificate was not taken: the old one stays", "cert", f.cert, "key", f.key, "error", err)
			f.logged = true
		}
		f.failed = err
	default:
		f.seen, f.failed, f.logged = p.seen, nil, false
		if f.current().mark != p.mark {
			f.show(p.shown)
			s.log.Info("certificate was read again", "cert", f.cert, "names", names(p.tls.Leaf), "not_after", p.tls.Leaf.NotAfter)
		}
	}
}

// changed reads the files if they are not those that were seen.
func (f *file) changed(seen [2]stamp) (*pair, error) {
	var now [2]stamp
	for i, path := range []string{f.cert, f.key} {
		var err error
		if now[i], err = stampOf(path); err != nil {
			return nil, err
		}
	}
	if now == seen {
		return nil, nil
	}
	return readPair(f.fileKey)
}

// stapleFirst gets the answer without which clients would refuse the new certificate, so that the old one serves meanwhile. An
// old one that has expired is no better, and nothing is waited for.
func (s *Store) stapleFirst(ctx context.Context, f *file, p *pair) error {
	now := s.options.Now()
	if old := f.current(); !stapleable(p.shown) || old.mark == p.mark || !now.Before(old.tls.Leaf.NotAfter) {
		return nil
	}
	f.mu.Lock()
	failed, again := f.failed, f.again
	f.mu.Unlock()
	if failed != nil && now.Before(again) {
		return failed
	}
	a, der, err := s.fetch.ask(ctx, p.shown, now)
	if err == nil && a.Status != ocsp.Good {
		err = fmt.Errorf("OCSP responder says %s", statusWord(a.Status))
	}
	if err != nil {
		f.mu.Lock()
		f.again = now.Add(stapleRetry)
		f.mu.Unlock()
		return fmt.Errorf("the new certificate demands an OCSP staple: %w", err)
	}
	p.shown = p.stapled(der)
	return nil
}

func (f *file) status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return newStatus("file", f.cert, f.current(), f.failed, &f.staple)
}
