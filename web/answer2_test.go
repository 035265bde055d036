package web

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"skein/web/http2"
)

// pipe is a connection in memory as a Transport.
type pipe struct{ net.Conn }

func (p pipe) Arm(d time.Duration) bool { return true }
func (p pipe) Abort()                   { _ = p.Close() }

// The upload asks for the body, 100 Continue, beside the goroutine that answers. When the answer is faster there is nothing left
// to ask for, and nothing has gone wrong: a failure would end the answer.
func TestContinueBesideAnAnswer(t *testing.T) {
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = http2.NewConn(pipe{near}, &http2.Config{
			MaxStreams: 100, MaxHeader: 16 << 10, MaxFields: 100, Glitches: 100, Stats: &http2.Stats{},
		}, func(s *http2.Stream) {
			a := &answerer2{s: s, x: &exchange{}}
			var up sync.WaitGroup
			up.Go(func() {
				if err := a.interim(http.StatusContinue, nil); err != nil {
					t.Errorf("100 Continue: %v", err)
				}
			})
			if err := a.begin(&answer{status: http.StatusOK, length: 2}); err != nil {
				t.Errorf("head: %v", err)
			}
			_ = a.write([]byte("ok"))
			_ = a.end(nil)
			up.Wait()
		}).Serve()
	}()
	tr := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return far, nil },
		Protocols:   new(http.Protocols),
	}
	tr.Protocols.SetUnencryptedHTTP2(true)
	for range 500 {
		r, _ := http.NewRequest("GET", "http://h/", nil)
		resp, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); string(b) != "ok" || err != nil {
			t.Fatalf("answer = %q, %v", b, err)
		}
		resp.Body.Close()
	}
	tr.CloseIdleConnections()
	<-done
}
