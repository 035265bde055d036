package speaker

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// state is what may be left on the machine's interfaces because of us, for who comes after a crash. It is a file, because the
// configuration may have changed meanwhile.
//
// All that might be added is in it before anything is: in the moment of a takeover no disk is asked. It is not synced: what it
// is about dies with the machine, too.
type state struct {
	Addresses []placed `json:"addresses,omitempty"`
	Links     []string `json:"links,omitempty"` // virtual MACs
}

// placed is an address on an interface.
type placed struct {
	Link   string       `json:"link"`
	Prefix netip.Prefix `json:"prefix"`
}

// maxState bounds what is read: somebody else may have written the file.
const maxState = 4 << 20

// stateLimit is how long a disk may take until the speaker goes on without it.
const stateLimit = time.Second

// readState reads the file. One that is not there says that nothing is left.
func readState(path string) (state, error) {
	var s state
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxState) {
		err = fmt.Errorf("read %s: not a file of ours", path)
	}
	if err != nil {
		return s, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return state{}, fmt.Errorf("read %s: %w", path, err)
	}
	s.Addresses = slices.DeleteFunc(s.Addresses, func(p placed) bool { return p.Link == "" || !p.Prefix.IsValid() })
	return s, nil
}

// write replaces the file, or removes it if nothing is left.
func (s state) write(path string) error {
	if len(s.Addresses) == 0 && len(s.Links) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// save writes, but returns after stateLimit even if the disk hangs.
func (s state) save(path string) error {
	if path == "" {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- s.write(path) }()
	t := time.NewTimer(stateLimit)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return fmt.Errorf("write %s: the disk did not answer within %v", path, stateLimit)
	}
}

// has tells whether the address may be on the interface, whatever its length: with another one, of an older configuration or of who
// cared for it before us, it would be as wrong on a backup, and in the way of ours.
func (s state) has(link string, a netip.Addr) bool {
	return slices.ContainsFunc(s.Addresses, func(p placed) bool { return p.Link == link && p.Prefix.Addr() == a })
}

// with is both, each thing once.
func (s state) with(o state) state {
	return state{
		Addresses: unique(slices.Concat(s.Addresses, o.Addresses), func(a, b placed) int {
			return cmp.Or(cmp.Compare(a.Link, b.Link), a.Prefix.Compare(b.Prefix))
		}),
		Links: unique(slices.Concat(s.Links, o.Links), cmp.Compare[string]),
	}
}

func unique[T comparable](list []T, order func(a, b T) int) []T {
	slices.SortFunc(list, order)
	return slices.Compact(list)
}
