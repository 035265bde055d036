package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// version of the file's form. A file of a later one is taken for damaged: to guess at drains is worse than to say so.
const version = 1

// file is drains.json: what of the Store survives a restart.
type file struct {
	path   string
	create func(path string) (output, error) // os.Create, but for tests
	rename func(from, to string) error       // os.Rename, but for tests
}

// output is what a file must be able to do while it is written.
type output interface {
	io.WriteCloser
	Sync() error
}

type content struct {
	Version int     `json:"version"`
	Drains  []Drain `json:"drains"`
}

func newFile(dir string) *file {
	return &file{
		path: filepath.Join(dir, "drains.json"),
		create: func(path string) (output, error) {
			return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
		},
		rename: os.Rename,
	}
}

// read returns the drains that stand at now. A damaged file is moved aside, with a warning: a balancer that does not start
// is worse than one that has forgotten a drain and says so.
func (f *file) read(log *slog.Logger, now time.Time) ([]Drain, error) {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		// Whether it holds drains is unknown, and the next write would destroy them.
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("cluster: read drains: %w\nhint: set state in the file to a directory where this user may write", err)
		}
		return nil, fmt.Errorf("cluster: read drains: %w", err)
	}
	drains, err := decode(b)
	if err != nil {
		aside := f.path + ".bad"
		if moveErr := os.Rename(f.path, aside); moveErr != nil {
			aside = moveErr.Error()
		}
		log.Warn("damaged drains were moved aside", "file", f.path, "to", aside, "error", err)
		return nil, nil
	}
	stand := drains[:0]
	for _, d := range drains {
		if !d.expired(now) {
			stand = append(stand, d)
		}
	}
	return stand, nil
}

func decode(b []byte) ([]Drain, error) {
	var c content
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, err
	}
	if c.Version != version {
		return nil, fmt.Errorf("version %d, want %d", c.Version, version)
	}
	seen := map[[2]string]bool{}
	for _, d := range c.Drains {
		k := [2]string{d.Server, d.Owner}
		if d.Server == "" || d.Owner == "" || seen[k] {
			return nil, fmt.Errorf("a drain of server %q by owner %q", d.Server, d.Owner)
		}
		seen[k] = true
	}
	return c.Drains, nil
}

// write replaces the file: temporary file, fsync, rename, fsync of the directory. Whenever the power fails, the old or the
// new file is there and whole.
func (f *file) write(drains []Drain) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cluster: keep drains: %w", err)
		}
	}()
	b, err := json.MarshalIndent(content{version, drains}, "", "\t")
	if err != nil {
		return err
	}
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	temp := f.path + ".tmp"
	defer func() {
		if err != nil {
			os.Remove(temp)
		}
	}()
	out, err := f.create(temp)
	if err != nil {
		return err
	}
	_, err = out.Write(append(b, '\n'))
	if err == nil {
		err = out.Sync()
	}
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := f.rename(temp, f.path); err != nil {
		return err
	}
	// The rename has happened: an error from here on would say that nothing was changed. A directory that cannot be synced
	// costs at most this drain, after a power failure.
	if d, openErr := os.Open(dir); openErr == nil {
		d.Sync()
		d.Close()
	}
	return nil
}
