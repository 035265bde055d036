package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

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

// Look tells how the process is. The error is [os.ErrProcessDone] when it has ended.
//
// It is one system call of some µs.
func (p *Process) Look() (ProcessState, error) {
	b := make([]byte, 512) // what we read is behind the name, which has at most 16 bytes
	n, err := p.stat.ReadAt(b, 0)
	if errors.Is(err, unix.ESRCH) {
		return ProcessState{}, os.ErrProcessDone
	}
	if n == 0 {
		return ProcessState{}, fmt.Errorf("look at process %d: %w", p.id, err)
	}
	return parseStat(b[:n])
}

// tick is the unit of times in /proc, which is the same on every architecture that Go runs on (USER_HZ).
const tick = 10 * time.Millisecond

// parseStat reads the fields 3, 14 and 15 of proc_pid_stat(5). The second is the program's name in parentheses, which may have
// some in itself.
func parseStat(b []byte) (s ProcessState, err error) {
	_, rest, ok := cutLast(b, ") ")
	fields := bytes.Fields(rest)
	if !ok || len(fields) < 13 {
		return s, fmt.Errorf("read state of process: %q", b)
	}
	for _, f := range fields[11:13] { // user and system
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return s, fmt.Errorf("read times of process: %q", b)
		}
		s.Worked += time.Duration(n) * tick
	}
	switch fields[0][0] {
	case 'T':
		s.Stopped = true
	case 'Z', 'X', 'x': // it has ended, and its parent has not asked yet
		return s, os.ErrProcessDone
	}
	return s, nil
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
