package fastcgi

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/fcgi"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// request writes a whole request.
func request(params [][2]string, body string) []byte {
	p := OpenParams(AppendBegin(nil, false))
	for _, kv := range params {
		Add(&p, kv[0], kv[1])
	}
	b := AppendStdin(p.Close(), body)
	return AppendStdinEnd(b)
}

// decode reads records as the specification says, in the plainest way.
func decode(t *testing.T, b []byte) (streams map[byte]string, sizes map[byte][]int) {
	t.Helper()
	streams, sizes = map[byte]string{}, map[byte][]int{}
	for len(b) > 0 {
		n := int(b[4])<<8 | int(b[5])
		if len(b) < 8+n+int(b[6]) || b[0] != 1 || b[2] != 0 || b[3] != 1 {
			t.Fatalf("broken record % x", b[:8])
		}
		streams[b[1]] += string(b[8 : 8+n])
		sizes[b[1]] = append(sizes[b[1]], n)
		b = b[8+n+int(b[6]):]
	}
	return streams, sizes
}

func TestBegin(t *testing.T) {
	if got, want := fmt.Sprintf("% x", AppendBegin(nil, true)), "01 01 00 01 00 08 00 00 00 01 01 00 00 00 00 00"; got != want {
		t.Errorf("with keep = %s, want %s", got, want)
	}
	if got, want := fmt.Sprintf("% x", AppendBegin(nil, false)[8:]), "00 01 00 00 00 00 00 00"; got != want {
		t.Errorf("without keep = %s, want %s", got, want)
	}
	if got, want := fmt.Sprintf("% x", AppendAbort(nil)), "01 02 00 01 00 00 00 00"; got != want {
		t.Errorf("abort = %s, want %s", got, want)
	}
}

// The lengths of a pair around 127, and streams around the size of a record and of several.
func TestParamsSizes(t *testing.T) {
	for _, n := range []int{0, 1, 126, 127, 128, 129, 65000, 65520, 65522, 65523, 65524, 65525, 65526, 65530, 65535, 65536, 131060, 131070, 131072, 200000, 262140} {
		value := strings.Repeat("v", n)
		streams, sizes := decode(t, request([][2]string{{"NAME", value}, {"B", "2"}}, ""))
		got := pairs(t, streams[typeParams])
		if want := map[string]string{"NAME": value, "B": "2"}; !maps.Equal(got, want) {
			t.Errorf("%d bytes: other parameters", n)
		}
		s := sizes[typeParams]
		for i, size := range s {
			if last := i == len(s)-1; (size == 0) != last || !last && i < len(s)-2 && size != MaxContent {
				t.Errorf("%d bytes: records of %v", n, s)
				break
			}
		}
	}
}

func TestNoParams(t *testing.T) {
	p := OpenParams(nil)
	if got, want := fmt.Sprintf("% x", p.Close()), "01 04 00 01 00 00 00 00"; got != want {
		t.Errorf("no parameters = %s, want %s", got, want)
	}
}

func TestStdinSizes(t *testing.T) {
	for _, n := range []int{0, 1, 65535, 65536, 131070, 131071} {
		body := strings.Repeat("b", n)
		streams, sizes := decode(t, AppendStdinEnd(AppendStdin(nil, body)))
		s := sizes[typeStdin]
		if streams[typeStdin] != body || s[len(s)-1] != 0 || len(s) != (n+MaxContent-1)/MaxContent+1 {
			t.Errorf("%d bytes: records of %v", n, s)
		}
	}
}

// pairs reads a stream of parameters in the plainest way.
func pairs(t *testing.T, s string) map[string]string {
	t.Helper()
	length := func() int {
		if s[0] < 128 {
			n := int(s[0])
			s = s[1:]
			return n
		}
		n := int(s[0]&127)<<24 | int(s[1])<<16 | int(s[2])<<8 | int(s[3])
		s = s[4:]
		return n
	}
	out := map[string]string{}
	for len(s) > 0 {
		n := length()
		v := length()
		out[s[:n]] = s[n : n+v]
		s = s[n+v:]
	}
	return out
}

// Go's own FastCGI application must read our requests, and we its answers.
func TestAgainstNetHTTP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	seen := make(chan map[string]string, 1)
	go fcgi.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen <- map[string]string{
			"method": r.Method, "uri": r.URL.RequestURI(), "host": r.Host, "length": fmt.Sprint(len(body)), "x": r.Header.Get("X-Long"),
			"root": fcgi.ProcessEnv(r)["DOCUMENT_ROOT"],
		}
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, strings.Repeat("a", 200000))
	}))
	long, body := strings.Repeat("x", 40000), strings.Repeat("b", 300000)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(request([][2]string{
		{"REQUEST_METHOD", "POST"},
		{"SERVER_PROTOCOL", "HTTP/1.1"},
		{"REQUEST_URI", "/a?b=c"},
		{"HTTP_HOST", "a.test"},
		{"CONTENT_LENGTH", fmt.Sprint(len(body))},
		{"HTTP_X_LONG", long},
		{"DOCUMENT_ROOT", "/srv"},
	}, body)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"method": "POST", "uri": "/a?b=c", "host": "a.test", "length": "300000", "x": long, "root": "/srv"}
	if diff := cmp.Diff(want, <-seen); diff != "" {
		t.Errorf("the application saw (-want +got):\n%s", diff)
	}
	r := readAll(answer, 1000)
	if r.err != nil || !r.ended || r.stderr != "" {
		t.Fatalf("error %v, ended %v, stderr %q", r.err, r.ended, r.stderr)
	}
	var h Head
	n, err := h.Parse([]byte(r.stdout), 100)
	if err != nil || h.Status != 418 || !bytes.Contains([]byte(r.stdout[:n]), []byte("X-Answer")) || len(r.stdout)-n != 200000 {
		t.Errorf("head of %d bytes, status %d, body %d, error %v", n, h.Status, len(r.stdout)-n, err)
	}
}
