package http3

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"skein/test/harness"
)

// relay passes UDP packets between clients and a server, and does to them what networks do.
type relay struct {
	l    *net.UDPConn
	to   *net.UDPAddr
	loss float64
	wg   sync.WaitGroup

	mu    sync.Mutex // guards what follows
	rand  *rand.Rand
	peers map[string]*net.UDPConn
}

func newRelay(t testing.TB, to *net.UDPAddr, loss float64) *relay {
	t.Helper()
	l, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{l: l, to: to, loss: loss, rand: rand.New(rand.NewPCG(1, 2)), peers: map[string]*net.UDPConn{}}
	r.wg.Go(r.run)
	t.Cleanup(func() {
		l.Close()
		r.rebind()
		r.wg.Wait()
	})
	return r
}

func (r *relay) run() {
	buf := make([]byte, 2000)
	for {
		n, from, err := r.l.ReadFromUDP(buf)
		if err != nil {
			return
		}
		r.mu.Lock()
		c := r.peers[from.String()]
		if c == nil {
			if c, err = net.DialUDP("udp", nil, r.to); err != nil {
				r.mu.Unlock()
				return
			}
			r.peers[from.String()] = c
			r.wg.Go(func() { r.back(c, from) })
		}
		r.mu.Unlock()
		r.pass(buf[:n], func(b []byte) { c.Write(b) })
	}
}

func (r *relay) back(c *net.UDPConn, to *net.UDPAddr) {
	buf := make([]byte, 2000)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		r.pass(buf[:n], func(b []byte) { r.l.WriteToUDP(b, to) })
	}
}

// pass loses some packets and holds others back behind those that follow.
func (r *relay) pass(b []byte, send func([]byte)) {
	r.mu.Lock()
	x := r.rand.Float64()
	r.mu.Unlock()
	switch {
	case x < r.loss:
	case x < 2*r.loss:
		late := append([]byte(nil), b...)
		r.wg.Add(1)
		time.AfterFunc(5*time.Millisecond, func() {
			defer r.wg.Done()
			send(late)
		})
	default:
		send(b)
	}
}

// rebind gives all clients new addresses, as a NAT does that has forgotten them.
func (r *relay) rebind() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, c := range r.peers {
		c.Close()
		delete(r.peers, k)
	}
}

// Packets are lost and come in another order: bodies are whole all the same, both ways.
func TestLossAndReordering(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	r := newRelay(t, s.udp(), 0.02)
	c := s.clientTo(r.l.LocalAddr().String(), &tls.Config{RootCAs: s.ca.roots, ServerName: host})
	n := harness.Count(1<<20, 4<<20, 32<<20)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			a, err := c.Get(url(fmt.Sprintf("/bytes?n=%d", n)))
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := io.Copy(io.Discard, a.Body); err != nil || got != int64(n) {
				t.Errorf("%d of %d bytes down: %v", got, n, err)
			}
		})
		wg.Go(func() {
			q, _ := http.NewRequest("POST", url("/count"), io.LimitReader(pattern{}, int64(n)))
			a, err := c.Do(q)
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := io.ReadAll(a.Body); err != nil || string(b) != fmt.Sprintf("%d <nil> ", n) {
				t.Errorf("%d bytes up: the origin had %q, %v", n, b, err)
			}
		})
	}
	wg.Wait()
}

// A client whose address changes under way goes on (RFC 9000 section 9.3).
func TestMigration(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	r := newRelay(t, s.udp(), 0)
	c := s.clientTo(r.l.LocalAddr().String(), &tls.Config{RootCAs: s.ca.roots, ServerName: host})
	for range 5 {
		get(t, c, "/bytes?n=100000")
		r.rebind()
	}
	get(t, c, "/bytes?n=100000")
	if n := status(t, s).Accepted; n != 1 {
		t.Errorf("%v connections, want 1", n)
	}
}
