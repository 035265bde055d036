package sock

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestSendFile(t *testing.T) {
	data := make([]byte, 3<<20)
	for i := range data {
		data[i] = byte(i * 31 >> 3)
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, c := range map[string]struct {
		offset, n int64
		stop      bool
		from      bool
		err       error
	}{
		"all":          {0, int64(len(data)), false, false, nil},
		"a part":       {1000, 2_000_001, false, false, nil},
		"one byte":     {7, 1, false, false, nil},
		"nothing":      {7, 0, false, false, nil},
		"file ends":    {int64(len(data)) - 100_000, 100_001, false, true, io.ErrUnexpectedEOF},
		"peer is slow": {0, int64(len(data)), true, false, ErrSlow},
	} {
		t.Run(name, func(t *testing.T) {
			tm := NewTimer()
			dst, to := pair(t, tm, false)
			if !CanSendFile(dst) {
				t.Fatal("cannot send files")
			}
			got := make(chan []byte)
			go func() {
				b, _ := io.ReadAll(to)
				got <- b
			}()
			moved, from, err := SendFile(dst, int(f.Fd()), c.offset, c.n, func(int64) bool { return !c.stop })
			if from != c.from || !errors.Is(err, c.err) {
				t.Errorf("from the file %v, error %v, want %v, %v", from, err, c.from, c.err)
			}
			dst.Close()
			b := <-got
			if int64(len(b)) != moved || !bytes.Equal(b, data[c.offset:c.offset+moved]) {
				t.Errorf("%d bytes sent, %d received, or others", moved, len(b))
			}
			if c.err == nil && moved != c.n {
				t.Errorf("%d bytes sent, want %d", moved, c.n)
			}
		})
	}
}

func TestSendFileAborted(t *testing.T) {
	tm := NewTimer()
	dst, _ := pair(t, tm, false)
	f, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dst.Abort()
	if _, from, err := SendFile(dst, int(f.Fd()), 0, 1000, func(int64) bool { return true }); from || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after an abort: from the file %v, error %v", from, err)
	}
	dst.Close()
}
