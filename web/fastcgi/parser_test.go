package fastcgi

import (
	"fmt"
	"strings"
	"testing"
)

// rec is a record of an answer.
func rec(kind byte, content string) string {
	return string(appendHeader(nil, kind, len(content))) + content
}

// padded is a record with padding.
func padded(kind byte, content string, n byte) string {
	b := appendHeader(nil, kind, len(content))
	b[6] = n
	return string(b) + content + strings.Repeat("\x55", int(n))
}

func of(id byte, record string) string { return record[:3] + string(id) + record[4:] }

const endOK = "\x00\x00\x00\x00\x00\x00\x00\x00"

type result struct {
	stdout, stderr string
	ended          bool
	app            uint32
	status         Status
	rest           int // bytes behind the end
	err            error
}

func (r result) String() string {
	return fmt.Sprintf("out=%q err=%q ended=%v app=%d status=%s rest=%d: %v", r.stdout, r.stderr, r.ended, r.app, r.status, r.rest, r.err)
}

// readAll gives an answer to a parser in steps.
func readAll(in []byte, step int) (r result) {
	var p Parser
	for len(in) > 0 && !r.ended {
		part := in[:min(step, len(in))]
		in = in[len(part):]
		for !r.ended {
			piece, n, err := p.Next(part)
			part = part[n:]
			if err != nil {
				r.err = err
				return r
			}
			switch piece.Kind {
			case None:
				if len(part) > 0 {
					r.err = fmt.Errorf("%d bytes left behind None", len(part))
					return r
				}
			case Stdout:
				r.stdout += string(piece.Data)
			case Stderr:
				r.stderr += string(piece.Data)
			case End:
				r.ended, r.app, r.status = true, p.App, p.Status
				r.rest = len(part) + len(in)
			}
			if piece.Kind == None {
				break
			}
			if piece.Kind != End && len(piece.Data) == 0 {
				r.err = fmt.Errorf("a piece without data")
				return r
			}
		}
	}
	return r
}

func TestParser(t *testing.T) {
	out, end := rec(typeStdout, "hello"), rec(typeEnd, endOK)
	for _, c := range []struct{ name, in, want string }{
		{"plain", out + rec(typeStdout, "") + end, `out="hello" err="" ended=true app=0 status=complete rest=0: <nil>`},
		{"stdout not ended, as php-fpm does", out + end, `out="hello" err="" ended=true app=0 status=complete rest=0: <nil>`},
		{"padding", padded(typeStdout, "a", 7) + padded(typeStdout, "b", 255) + padded(typeEnd, endOK, 8), `out="ab" err="" ended=true app=0 status=complete rest=0: <nil>`},
		{"padded end of a stream", padded(typeStdout, "", 8) + end, `out="" err="" ended=true app=0 status=complete rest=0: <nil>`},
		{"stderr between", rec(typeStderr, "oh") + out + rec(typeStderr, "!") + rec(typeStderr, "") + out + end, `out="hellohello" err="oh!" ended=true app=0 status=complete rest=0: <nil>`},
		{"app status", rec(typeEnd, "\x00\x01\x00\x02\x00abc"), `out="" err="" ended=true app=65538 status=complete rest=0: <nil>`},
		{"overloaded", rec(typeEnd, "\x00\x00\x00\x00\x02abc"), `out="" err="" ended=true app=0 status=overloaded rest=0: <nil>`},
		{"cannot multiplex", rec(typeEnd, "\x00\x00\x00\x00\x01abc"), `out="" err="" ended=true app=0 status=cannot multiplex rest=0: <nil>`},
		{"unknown role", rec(typeEnd, "\x00\x00\x00\x00\x03abc"), `out="" err="" ended=true app=0 status=unknown role rest=0: <nil>`},
		{"bytes behind the end", end + "x", `out="" err="" ended=true app=0 status=complete rest=1: <nil>`},
		{"cut", out + end[:12], `out="hello" err="" ended=false app=0 status=complete rest=0: <nil>`},
		{"values are skipped", of(0, rec(typeValues, "abc")) + of(0, rec(typeUnknown, "12345678")) + out + end, `out="hello" err="" ended=true app=0 status=complete rest=0: <nil>`},
		{"management of another type", of(0, out), `out="" err="" ended=false app=0 status=complete rest=0: record of a type that no application sends (FastCGI 1.0 section 3.3)`},
		{"too much management", strings.Repeat(of(0, rec(typeValues, "")), 17), `out="" err="" ended=false app=0 status=complete rest=0: too many records that belong to no request (FastCGI 1.0 section 4)`},
		{"another request", of(2, out), `out="" err="" ended=false app=0 status=complete rest=0: record of a request that was never sent (FastCGI 1.0 section 3.3)`},
		{"another version", "\x02" + out[1:], `out="" err="" ended=false app=0 status=complete rest=0: record of another version (FastCGI 1.0 section 3.3)`},
		{"HTTP", "HTTP/1.1 200 OK\r\n\r\n", `out="" err="" ended=false app=0 status=complete rest=0: record of another version (FastCGI 1.0 section 3.3)`},
		{"a request's record", rec(typeStdin, "x"), `out="" err="" ended=false app=0 status=complete rest=0: record of a type that no application sends (FastCGI 1.0 section 3.3)`},
		{"management of a request", rec(typeValues, "x"), `out="" err="" ended=false app=0 status=complete rest=0: record of a type that no application sends (FastCGI 1.0 section 3.3)`},
		{"short end", rec(typeEnd, "1234567"), `out="" err="" ended=false app=0 status=complete rest=0: END_REQUEST without its eight bytes (FastCGI 1.0 section 5.5)`},
		{"long end", rec(typeEnd, "123456789"), `out="" err="" ended=false app=0 status=complete rest=0: END_REQUEST without its eight bytes (FastCGI 1.0 section 5.5)`},
		{"unknown status", rec(typeEnd, "\x00\x00\x00\x00\x04abc"), `out="" err="" ended=false app=0 status=complete rest=0: unknown protocol status (FastCGI 1.0 section 5.5)`},
		{"stdout behind its end", rec(typeStdout, "") + out, `out="" err="" ended=false app=0 status=complete rest=0: data behind the end of its stream (FastCGI 1.0 section 3.3)`},
		{"stdout ends twice", out + rec(typeStdout, "") + rec(typeStdout, ""), `out="hello" err="" ended=false app=0 status=complete rest=0: data behind the end of its stream (FastCGI 1.0 section 3.3)`},
		{"stderr behind its end", rec(typeStderr, "") + rec(typeStderr, "x"), `out="" err="" ended=false app=0 status=complete rest=0: data behind the end of its stream (FastCGI 1.0 section 3.3)`},
	} {
		for _, step := range []int{1, 2, 3, 7, 8, 9, 13, 1 << 20} {
			got := readAll([]byte(c.in), step)
			if !got.ended {
				got.rest = 0
			}
			if got.String() != c.want {
				t.Errorf("%s in steps of %d\n = %s,\nwant %s", c.name, step, got, c.want)
			}
		}
	}
}

func TestParserBehindTheEnd(t *testing.T) {
	var p Parser
	end := []byte(rec(typeEnd, endOK))
	if piece, n, err := p.Next(end); piece.Kind != End || n != len(end) || err != nil {
		t.Fatalf("end = %v, %d, %v", piece, n, err)
	}
	if _, _, err := p.Next(nil); err != nil {
		t.Errorf("nothing behind the end: %v", err)
	}
	if _, _, err := p.Next([]byte("x")); err != errAfterEnd {
		t.Errorf("a byte behind the end: %v, want %v", err, errAfterEnd)
	}
	p.Reset()
	if piece, _, err := p.Next(end); piece.Kind != End || err != nil {
		t.Errorf("after Reset = %v, %v", piece, err)
	}
}

func TestParserDoesNotAllocate(t *testing.T) {
	in := []byte(strings.Repeat(rec(typeStdout, strings.Repeat("x", 1000))+rec(typeStderr, "oh"), 8) + rec(typeEnd, endOK))
	var p Parser
	if n := testing.AllocsPerRun(100, func() {
		p.Reset()
		for rest := in; ; {
			piece, n, err := p.Next(rest)
			rest = rest[n:]
			if err != nil || piece.Kind == End {
				return
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func FuzzParser(f *testing.F) {
	f.Add([]byte(rec(typeStdout, "hello")+rec(typeStderr, "x")+padded(typeEnd, endOK, 3)), uint8(3))
	f.Add([]byte(of(0, rec(typeValues, "abc"))+rec(typeStdout, "")+rec(typeEnd, endOK)), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		whole := readAll(in, max(1, len(in)))
		if got := readAll(in, int(step)+1); got.String() != whole.String() {
			t.Fatalf("in steps of %d = %s, at once %s", step+1, got, whole)
		}
		if len(whole.stdout)+len(whole.stderr) > len(in) {
			t.Fatalf("more came out than went in")
		}
	})
}
