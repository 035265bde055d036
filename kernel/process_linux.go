package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Process is another process, watched. Its descriptor means this process even if its ID is given to another one.
type Process struct {
	id   int
	stat *os.File
}

// OpenProcess begins to watch a process; [os.ErrProcessDone] if there is none.
func OpenProcess(id int) (*Process, error) {
	f, err := os.Open("/proc/" + strconv.Itoa(id) + "/stat")
	if errors.Is(err, fs.ErrNotExist) {
		err = os.ErrProcessDone
	}
	if err != nil {
		return nil, fmt.Errorf("watch process %d: %w", id, err)
	}
	return &Process{id, f}, nil
}

// Stopped tells whether a signal has stopped the process (SIGSTOP, SIGTSTP). One that is traced is not stopped: strace would
// stop it with every system call. The error is [os.ErrProcessDone] when it has ended.
//
// It is one system call of some µs.
func (p *Process) Stopped() (bool, error) {
	b := make([]byte, 512) // the state is behind the name, which has at most 16 bytes
	n, err := p.stat.ReadAt(b, 0)
	if errors.Is(err, unix.ESRCH) {
		return false, os.ErrProcessDone
	}
	if n == 0 {
		return false, fmt.Errorf("look at process %d: %w", p.id, err)
	}
	return parseStat(b[:n])
}

// parseStat reads the third field of proc_pid_stat(5). The second is the program's name in parentheses, which may have some in
// itself.
func parseStat(b []byte) (stopped bool, err error) {
	_, rest, ok := cutLast(b, ") ")
	if !ok || len(rest) == 0 {
		return false, fmt.Errorf("read state of process: %q", b)
	}
	switch rest[0] {
	case 'T':
		return true, nil
	case 'Z', 'X', 'x': // it has ended, and its parent has not asked yet
		return false, os.ErrProcessDone
	}
	return false, nil
}

func cutLast(b []byte, sep string) (before, after []byte, ok bool) {
	i := bytes.LastIndex(b, []byte(sep))
	if i < 0 {
		return b, nil, false
	}
	return b[:i], b[i+len(sep):], true
}

// Close ends the watching.
func (p *Process) Close() error { return p.stat.Close() }
