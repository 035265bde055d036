package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxPath is the longest path of a unix socket: sockaddr_un has 108 bytes, the last a zero.
const maxPath = 107

// listenSocket opens the unix socket. One that a killed process has left behind is replaced; one that somebody answers on is
// not ours to take.
func listenSocket(ctx context.Context, listen listener, path string) (net.Listener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("socket %s: the path has %d bytes, and a unix socket's may have %d\nhint: set socket in the admin block",
			path, len(path), maxPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("socket %s: %w\nhint: set socket in the admin block to a place where this user may write", path, cause(err))
	}
	l, err := listenUnix(ctx, listen, path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err = clearStale(path); err == nil {
			l, err = listenUnix(ctx, listen, path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, cause(err))
	}
	return l, nil
}

// listener is [Sources.Listen].
type listener func(ctx context.Context, network, address string) (net.Listener, error)

func listenUnix(ctx context.Context, listen listener, path string) (net.Listener, error) {
	l, err := listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// clearStale removes the socket of a process that has died.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return errors.New("there is a file of that name which is not a socket")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
		return errors.New("another skein is running and listens there\nhint: stop it, or set socket in the admin block")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// cause is the system's word about an error, without the addresses that net and os put around it: the caller names them.
func cause(err error) error {
	var sys syscall.Errno
	if errors.As(err, &sys) {
		return sys
	}
	return err
}
