package php

import (
	"crypto/sha1"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"skein/test/harness"
)

// pattern is a body of so many bytes that costs no memory.
type pattern struct{ at, size int64 }

func (p *pattern) Read(b []byte) (int, error) {
	if p.at == p.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), p.size-p.at))
	for i := range b[:n] {
		b[i] = byte((p.at + int64(i)) * 131 >> 7)
	}
	p.at += int64(n)
	return n, nil
}

// peak is the most memory that the process ever had, in bytes.
func peak(t *testing.T, s *site) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// Large uploads pass in constant memory: streamed if their length is known, through a temporary file if it is not. None of it is
// left in the file system.
func TestLargeUpload(t *testing.T) {
	t.Parallel()
	size := int64(harness.Count(32<<20, 128<<20, 1<<30))
	f := newFPM(t, "unix", "")
	temp := t.TempDir()
	s := newSite(t, f, filepath.Join(laravel(t), "current/public"), "", "", harness.Env("TMPDIR="+temp))
	sum := sha1.New()
	if _, err := io.Copy(sum, &pattern{size: size}); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d %d %x", size, size, sum.Sum(nil))
	s.expect("POST", "/input", &pattern{size: 3 << 20}, 200, s.do("POST", "/input", &pattern{size: 3 << 20}).Body) // both ways are warm
	before := peak(t, s)
	s.expect("POST", "/input", &pattern{size: size}, 200, want, fmt.Sprintf("Content-Length: %d", size), "Content-Type: application/octet-stream")
	known := peak(t, s) - before
	s.expect("POST", "/input", &pattern{size: size}, 200, want, "Content-Type: application/octet-stream")
	unknown := peak(t, s) - before
	t.Logf("%d MiB cost %d KiB of memory with a length, %d KiB without one", size>>20, known>>10, unknown>>10)
	if limit := int64(16 << 20); known > limit || unknown > limit {
		t.Errorf("memory grew by %d and %d bytes, want at most %d", known, unknown, limit)
	}
	if left, _ := os.ReadDir(temp); len(left) != 0 {
		t.Errorf("left in the temporary directory: %v", left)
	}
}
