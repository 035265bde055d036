package http2

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// client is Go's own, over TCP or TLS.
func client(t testing.TB, secure bool) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	tr.Protocols.SetHTTP2(secure)
	tr.Protocols.SetUnencryptedHTTP2(!secure)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

// echo answers with the body and the trailers of the request, as they come.
func echo(s *Stream) {
	b := AppendStatus(nil, 200)
	if s.Head(AppendField(b, []byte("Trailer"), []byte("X-Sum")), false) != nil {
		return
	}
	total := 0
	for {
		p, err := s.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			s.Reset(CodeCancel)
			return
		}
		total += len(p)
		if s.Write(p) != nil {
			return
		}
		if s.Last() {
			continue
		}
		if s.Flush() != nil {
			return
		}
	}
	b = AppendField(nil, []byte("X-Sum"), fmt.Append(nil, total))
	for _, f := range s.Trailers() {
		b = AppendField(b, f.Name, f.Value)
	}
	_ = s.End(b)
}

func TestEcho(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			t.Parallel()
			var conf *tls.Config
			scheme := "http"
			if secure {
				conf, scheme = selfSigned(t), "https"
			}
			s := serve(t, conf, config(), echo)
			c := client(t, secure)
			body := make([]byte, 1<<20+5)
			_, _ = rand.Read(body)
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					want := body[:len(body)*i/19]
					req, _ := http.NewRequest("POST", scheme+"://"+s.addr+"/", io.MultiReader(bytes.NewReader(want), strings.NewReader("")))
					req.Trailer = http.Header{"X-Up": {"yes"}}
					resp, err := c.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("%d bytes came back, want %d: %v", len(got), len(want), err)
					}
					if sum, up := resp.Trailer.Get("X-Sum"), resp.Trailer.Get("X-Up"); sum != fmt.Sprint(len(want)) || up != "yes" {
						t.Errorf("trailers %v, want the sum %d and x-up: yes", resp.Trailer, len(want))
					}
				})
			}
			wg.Wait()
			// A body that is cut into pieces now and then ends in one of a few bytes.
			if n := s.cfg.Stats.Glitches.Load(); n > 40 {
				t.Errorf("an honest client made %d glitches", n)
			}
		})
	}
}

func TestInterims(t *testing.T) {
	s := serve(t, nil, config(), func(s *Stream) {
		_ = s.Interim(AppendField(AppendStatus(nil, 103), []byte("Link"), []byte("</style.css>")))
		hello(s)
	})
	var links []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		links = append(links, fmt.Sprint(code, h.Get("Link")))
		return nil
	}}
	req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), "GET", "http://"+s.addr, nil)
	resp, err := client(t, false).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if len(links) != 1 || links[0] != "103</style.css>" || resp.StatusCode != 200 {
		t.Errorf("interims %q and status %d, want one link and 200", links, resp.StatusCode)
	}
}

// Whoever serves a request hears of it when the client leaves.
func TestGone(t *testing.T) {
	for _, how := range []string{"reset", "broken"} {
		t.Run(how, func(t *testing.T) {
			begun, gone := make(chan bool), make(chan bool)
			late := make(chan bool, 1)
			s := serve(t, nil, config(), func(s *Stream) {
				s.SetGone(func() { close(gone) })
				begun <- true
				<-gone
				s.SetGone(func() { late <- true })
				if err := s.Head(AppendStatus(nil, 200), false); err == nil {
					t.Error("Head of a stream that is gone = nil")
				}
				if _, err := s.Next(); err == nil {
					t.Error("Next of a stream that is gone = nil")
				}
			})
			r := dial(t, s)
			r.headers(1, false, post()...)
			<-begun
			if how == "reset" {
				r.ok(r.fr.WriteRSTStream(1, http2.ErrCodeCancel))
			} else {
				_ = r.nc.Close()
			}
			<-gone
			<-late
		})
	}
}

// A shutdown loses no request of an honest client, whenever it comes.
func TestShutdownUnderLoad(t *testing.T) {
	var n, shut atomic.Int64
	s := serve(t, nil, config(), func(s *Stream) {
		if n.Add(1)%50 == 0 {
			s.c.Shutdown()
			s.c.Shutdown()
			shut.Add(1)
		}
		hello(s)
	})
	c := client(t, false)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 300 {
				resp, err := c.Get("http://" + s.addr)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
	clients.Wait()
	if n := shut.Load(); n != 48 {
		t.Errorf("%d shutdowns, want 48", n)
	}
}

// Clients that give up at any moment leave nothing behind, and disturb nobody else: a Stream that is used again must know
// nothing of the request before.
func TestCancelUnderLoad(t *testing.T) {
	cfg := config(func(c *Config) { c.Glitches = 1 << 20 })
	s := serve(t, nil, cfg, func(s *Stream) {
		s.SetGone(func() {})
		echo(s)
	})
	c := client(t, false)
	body := bytes.Repeat([]byte("0123456789abcdef"), 20<<10)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			for k := range 40 {
				ctx, cancel := context.WithCancel(context.Background())
				want := body[:len(body)*(k+1)/40]
				req, _ := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr, bytes.NewReader(want))
				resp, err := c.Do(req)
				if err != nil {
					t.Error(err)
					cancel()
					return
				}
				if i%2 == 0 { // half of the clients leave in the middle
					_, _ = io.CopyN(io.Discard, resp.Body, int64(len(want)*i/12))
					cancel()
				} else if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes came back, want %d: %v", len(got), len(want), err)
				}
				_ = resp.Body.Close()
				cancel()
			}
		})
	}
	wg.Wait()
	if st := cfg.Stats; st.Resets.Load() == 0 || st.Streams.Load() < 480 {
		t.Errorf("%d resets of %d streams: nobody has given up", st.Resets.Load(), st.Streams.Load())
	}
}
