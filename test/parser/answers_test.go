package parser

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"skein/test/harness"
)

// An answer case. The origin reads the request, sends these bytes, and then keeps the connection, closes or resets it.
//
// want is what the client must see, word by word: the statuses in their order (502 and such are skein's own), then
//
//	body=x   this body, exactly
//	cut      the connection ends before the answer is complete: nobody may take it for a whole one
//	close    the connection ends after the answer
//
// Without cut or close, and without a 5xx, the connection must stay usable. fields are parts separated by "|": a line that
// the last answer must have, or "!" and a name that it must not have.
type answerCase struct {
	name, section, method, send string
	then                        then
	want, fields                string
	pool                        verdict
}

// then is what the origin does after its bytes.
type then uint8

const (
	keep then = iota
	closing
	resetting
)

// verdict is what becomes of the connection to the origin.
type verdict uint8

const (
	reused  verdict = iota // the next request comes by it
	dropped                // the next request must come by another
)

func ok(lines ...string) string {
	return "HTTP/1.1 200 OK\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func code(status int, lines ...string) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\n%s\r\n", status, strings.Join(append(lines, ""), "\r\n"))
}

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

func TestAnswers(t *testing.T) {
	t.Parallel()
	if len(answerCases) < 60 {
		t.Errorf("%d cases, want at least 60", len(answerCases))
	}
	seen := map[string]bool{}
	for _, c := range answerCases {
		if seen[c.name] || c.section == "" {
			t.Errorf("case %q is there twice, or has no section", c.name)
		}
		seen[c.name] = true
	}
	for _, path := range paths {
		t.Run(path.name, func(t *testing.T) {
			t.Parallel()

			origin := harness.Origin(t, answerScript)
			addr := harness.FreeAddr(t)
			skein := harness.Start(t, answerConfig(addr, origin.Addr), path.opts...)
			for i, c := range answerCases {
				t.Run(c.name, func(t *testing.T) { runAnswer(t, c, i, addr, origin) })
			}
			skein.Stop()
		})
	}
}

// answerConfig gives each case a pool of its own, so that it sees which connections are kept.
func answerConfig(addr, origin string) string {
	var b strings.Builder
	for i := range answerCases {
		fmt.Fprintf(&b, "pool \"p%d\" {\n  servers = [%q]\n  retry {\n    tries = 1\n  }\n  eject {\n    errors = 0\n  }\n}\n", i, origin)
	}
	fmt.Fprintf(&b, "http \"answers\" {\n  listen = %q\n", addr)
	for i := range answerCases {
		fmt.Fprintf(&b, "  route \"/%d/\" {\n    pool = pool.p%d\n  }\n", i, i)
	}
	b.WriteString("}\n")
	return b.String()
}

// answerScript is the origin of all cases: the path names the case, /N/after is the request that follows it.
func answerScript(p *harness.Peer) {
	for r := p.Next(); r != nil; r = p.Next() {
		parts := strings.Split(r.URL.Path, "/")
		i, err := strconv.Atoi(parts[1])
		if err != nil || i >= len(answerCases) {
			return
		}
		if parts[2] == "after" {
			if !p.Send(hello) {
				return
			}
			continue
		}
		c := answerCases[i]
		p.Send(c.send)
		switch c.then {
		case closing:
			return
		case resetting:
			p.Reset()
			return
		case keep:
		}
	}
}

func runAnswer(t *testing.T, c answerCase, i int, addr string, origin *harness.Recorder) {
	conn := harness.Raw(t, addr)
	method := c.method
	if method == "" {
		method = http.MethodGet
	}
	extra := ""
	if c.send == switching {
		extra = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
	}
	conn.Send(fmt.Sprintf("%s /%d/case HTTP/1.1\r\nHost: h\r\n%s\r\n", method, i, extra))
	usable := true
	var a *harness.Answer
	for _, w := range strings.Fields(c.want) {
		switch {
		case w == "cut":
			if !errors.Is(a.Err, io.ErrUnexpectedEOF) {
				t.Errorf("answer ended with %v and body %q, want it cut (RFC %s)", a.Err, a.Body, c.section)
			}
			usable = false
		case w == "close":
			conn.Closed()
			usable = false
		case strings.HasPrefix(w, "body="):
			if want := strings.TrimPrefix(w, "body="); a.Body != want {
				t.Errorf("body = %q, want %q", a.Body, want)
			}
		default:
			a = conn.Answer(method)
			if strconv.Itoa(a.Status) != w {
				t.Fatalf("origin sent %q: status = %d, want %s (RFC %s)", c.send, a.Status, w, c.section)
			}
			if a.Status >= 500 && c.pool == dropped {
				usable = false // it is skein's own, and may end the connection
			}
		}
	}
	if usable && a.Err != nil {
		t.Errorf("answer ended with %v", a.Err)
	}
	checkFields(t, c, conn.Received(), a)
	after := fmt.Sprintf("/%d/after", i)
	if usable && a.Status != http.StatusSwitchingProtocols {
		if b := conn.Get(after); b.Status != 200 || b.Body != "hello" {
			t.Errorf("next answer on the connection = %d %q", b.Status, b.Body)
		}
	} else if b := harness.Fetch(t, addr, after); b.Status != 200 || b.Body != "hello" {
		t.Errorf("next answer = %d %q", b.Status, b.Body)
	}
	first, second := 0, 0
	for _, r := range origin.Requests() {
		switch r.URL.Path {
		case fmt.Sprintf("/%d/case", i):
			first = r.Peer.ID
		case after:
			second = r.Peer.ID
		}
	}
	switch {
	case first == 0 || second == 0:
		t.Errorf("requests came by connections %d and %d", first, second)
	case first == second && c.pool == dropped:
		t.Errorf("connection was used again after %q (RFC %s)", c.send, c.section)
	case first != second && c.pool == reused:
		t.Errorf("connection was not used again after %q (RFC %s)", c.send, c.section)
	}
}

func checkFields(t *testing.T, c answerCase, raw string, a *harness.Answer) {
	t.Helper()
	if c.fields == "" {
		return
	}
	// The head of the last answer.
	at := strings.LastIndex(raw, "HTTP/1.1 "+strconv.Itoa(a.Status))
	head, _, _ := strings.Cut(raw[at:], "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	for _, part := range strings.Split(c.fields, "|") {
		name, absent := strings.CutPrefix(part, "!")
		found := false
		for _, l := range lines {
			n, _, _ := strings.Cut(l, ":")
			found = found || l == part || absent && strings.EqualFold(n, name)
		}
		if found == absent {
			t.Errorf("client received %q, want %q (RFC %s)", head, part, c.section)
		}
	}
}

func repeat(line string, n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = line
	}
	return lines
}
