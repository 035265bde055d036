package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Load is visitors who come all the time, each over one kept connection. A request whose kept connection was closed without
// an answer is sent again if its method allows (RFC 9110 section 9.2.2), as browsers do; net/http's client does just that.
type Load struct {
	Asked atomic.Int64 // requests that have ended, well or not
	Lost  atomic.Int64 // connections that skein has closed

	t     testing.TB
	stop  context.CancelFunc
	wg    sync.WaitGroup
	asked []string

	mu       sync.Mutex // guards failures and closes
	failures []string
	closes   []string
	pause    time.Duration
}

// Visit begins a load of n visitors who ask for these targets in turn, each as "METHOD /path". A POST carries a body.
// check judges the answers, nil: each must be a 200. The load ends with [Load.End].
func Visit(t testing.TB, addr string, n int, check func(method, target string, status int, body string) error, targets ...string) *Load {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l := &Load{t: t, stop: stop, asked: targets, pause: 2 * time.Millisecond}
	if check == nil {
		check = func(_, _ string, status int, _ string) error {
			if status != http.StatusOK {
				return fmt.Errorf("status %d", status)
			}
			return nil
		}
	}
	for i := range n {
		l.wg.Go(func() { l.visitor(ctx, addr, i, check) })
	}
	t.Cleanup(l.End)
	return l
}

// visitor asks until ctx ends.
func (l *Load) visitor(ctx context.Context, addr string, i int, check func(method, target string, status int, body string) error) {
	tr := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &kept{Conn: c, lost: &l.Lost}, nil
	}}
	defer tr.CloseIdleConnections()
	tick := time.NewTicker(l.pause)
	defer tick.Stop()
	for ; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		method, target, _ := strings.Cut(l.asked[i%len(l.asked)], " ")
		status, body, last, err := ask(tr, method, target)
		if last {
			l.mu.Lock()
			l.closes = append(l.closes, fmt.Sprintf("%s %s %d", method, target, status))
			l.mu.Unlock()
		}
		if err == nil {
			err = check(method, target, status, body)
		}
		l.Asked.Add(1)
		if err != nil {
			l.fail(fmt.Sprintf("%s %s %s: %v", time.Now().Format("15:04:05.000"), method, target, err))
		}
	}
}

// kept is a visitor's connection that notices whether the other side ends it. net/http's client has reasons of its own to
// leave one, so that counting its connections would say nothing.
type kept struct {
	net.Conn

	lost  *atomic.Int64
	ended atomic.Bool
}

// Read implements [net.Conn].
func (k *kept) Read(b []byte) (int, error) {
	n, err := k.Conn.Read(b)
	if err != nil && !k.ended.Swap(true) {
		k.lost.Add(1)
	}
	return n, err
}

// Close implements [net.Conn].
func (k *kept) Close() error {
	k.ended.Store(true)
	return k.Conn.Close()
}

// ask sends one request. It is not cut off when the load ends: that would look like a visitor who leaves.
func ask(tr *http.Transport, method, target string) (status int, body string, last bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var content io.Reader
	if method == http.MethodPost {
		content = strings.NewReader("a=1&b=2")
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://site.example"+target, content)
	if err != nil {
		return 0, "", false, err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return 0, "", false, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, string(b), resp.Close, errors.Join(ErrBegun, err)
	}
	return resp.StatusCode, string(b), resp.Close, nil
}

// ErrBegun marks the failure of an answer that had begun: nobody can send it again.
var ErrBegun = errors.New("the answer had begun")

func (l *Load) fail(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, s)
}

// Closes returns after which answers, as "METHOD /path status", skein announced that it closes the connection.
func (l *Load) Closes() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.closes...)
}

// Failures returns what went wrong so far and forgets it.
func (l *Load) Failures() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.failures
	l.failures = nil
	return f
}

// Good fails the test if anything went wrong since the last look; during names what was going on.
func (l *Load) Good(during string) {
	l.t.Helper()
	if f := l.Failures(); len(f) > 0 {
		l.t.Errorf("%s: %d requests failed, the first:\n%s", during, len(f), strings.Join(f[:min(10, len(f))], "\n"))
	}
}

// More waits until n more requests have ended: a measure of time that goes with the machine's speed.
func (l *Load) More(n int64) {
	l.t.Helper()
	from := l.Asked.Load()
	Eventually(l.t, 3*Patience, fmt.Sprintf("%d more requests", n), func() bool { return l.Asked.Load() >= from+n })
}

// End stops the load and waits for its last answers.
func (l *Load) End() {
	l.stop()
	l.wg.Wait()
}
