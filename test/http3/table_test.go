package http3

import (
	"strings"
	"testing"

	"skein/test/corpus"
	"skein/test/harness"
)

// TestStreams sends each request of the table that HTTP/2 is tested with over HTTP/3: what becomes of it must be the same.
func TestStreams(t *testing.T) {
	t.Parallel()
	origin := harness.Origin(t, func(p *harness.Peer) {
		for r := p.Next(); r != nil; r = p.Next() {
			if !p.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") {
				return
			}
		}
	})
	s := start(t, "", "")
	s.Reload(strings.Replace(s.file("", ""), s.origin.addr, origin.Addr, 1))
	for _, tc := range corpus.Streams() {
		t.Run(tc.Name, func(t *testing.T) {
			before := len(origin.Requests())
			got := s.stream(t, tc)
			if refused := got != "200"; refused != (tc.Want == "refuse") {
				t.Fatalf("%s, want %s (as RFC 9113 section %s)", got, tc.Want, tc.Section)
			}
			seen := origin.Requests()[before:]
			switch {
			case tc.Want == "refuse" && len(seen) > 0:
				t.Errorf("origin saw %q", seen[0].Raw)
			case tc.Want == "pass" && len(seen) != 1:
				t.Errorf("origin saw %d requests, want 1", len(seen))
			case tc.Want == "pass":
				for _, wrong := range corpus.Differs(tc.Saw, seen[0].Raw, seen[0].Content, seen[0].Trailer) {
					t.Errorf("%s (as RFC 9113 section %s)", wrong, tc.Section)
				}
			}
		})
	}
}

// stream sends a request of the table and says what came of it.
func (s *site) stream(t *testing.T, tc corpus.Stream) string {
	t.Helper()
	c := s.dial(t)
	settle(t, c)
	q, err := c.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	b := headers(lines(tc.Fields))
	if tc.Body != "" {
		b = append(b, frame(0, tc.Body)...)
	}
	if tc.Trailers != nil {
		b = append(b, headers(lines(tc.Trailers))...)
	}
	if _, err := q.Write(b); err != nil {
		t.Fatal(err)
	}
	q.Close()
	defer c.CloseWithError(0x100, "")
	return strings.TrimSpace(verdict(q))
}

func lines(all []corpus.Line) []line {
	var out []line
	for _, l := range all {
		out = append(out, line{l.Name, l.Value})
	}
	return out
}
