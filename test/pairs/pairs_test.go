// Package pairs puts skein in front of real servers and counts: whatever clients send, good, doubtful or hostile, the server
// sees exactly as many requests as skein's clients were answered by it. One more would be a request that somebody smuggled.
package pairs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"skein/test/corpus"
	"skein/test/harness"
)

// rounds is the number of connections that clients make; each carries one to six requests.
const rounds = 1500

// A server is asked for the targets of all whole requests that it has seen, once nothing more can come. Every answer that it
// gives to one must have an X-Origin field.
type server func(t *testing.T) (addr string, seen func() []string)

func TestPairs(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]server{"nginx": nginx, "net/http": netHTTP, "php -S": php} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			origin, seen := start(t)
			addr := harness.FreeAddr(t)
			skein := harness.Start(t, fmt.Sprintf(`
pool "web" {
  servers = [%q]
  eject {
    errors = 0
  }
}
http "site" {
  listen = %q
  pool   = pool.web
}
`, origin, addr))
			answered := mix(t, addr)
			skein.Stop() // now nothing can arrive any more
			targets := seen()
			if len(targets) != answered {
				t.Errorf("the server saw %d requests, %d answers of it were received", len(targets), answered)
			}
			for _, target := range targets {
				if strings.Contains(target, "evil") {
					t.Errorf("the server saw a request for %q", target)
				}
			}
			if answered < rounds {
				t.Errorf("%d answers for %d connections: the mix is too hostile to show anything", answered, rounds)
			}
			t.Logf("%d requests", answered)
		})
	}
}

// mix sends random sequences of cases, several clients at once, and returns how many answers of the server came back.
func mix(t *testing.T, addr string) int {
	n, seed := rounds, uint64(1)
	if os.Getenv("SKEIN_SOAK") != "" {
		n, seed = 50*rounds, uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	cases := corpus.Requests()
	var good []corpus.Request
	for _, c := range cases {
		if !c.Ends() {
			good = append(good, c)
		}
	}
	var answered atomic.Int64
	var wg sync.WaitGroup
	for worker := range 8 {
		random := rand.New(rand.NewPCG(seed, uint64(worker)))
		wg.Go(func() {
			for range n / 8 {
				var turns []corpus.Request
				for range random.IntN(6) {
					turns = append(turns, good[random.IntN(len(good))])
				}
				turns = append(turns, cases[random.IntN(len(cases))])
				k, err := talk(addr, turns, random)
				if err != nil {
					t.Errorf("%v: %v", names(turns), err)
				}
				answered.Add(int64(k))
			}
		})
	}
	wg.Wait()
	return int(answered.Load())
}

func names(turns []corpus.Request) string {
	var s []string
	for _, c := range turns {
		s = append(s, c.Name)
	}
	return strings.Join(s, ", ")
}

// talk sends cases on one connection, in parts of random size, and counts the answers of the server until the end of the
// connection.
func talk(addr string, turns []corpus.Request, random *rand.Rand) (int, error) {
	c, err := net.DialTimeout("tcp", addr, harness.Patience)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(harness.Patience))
	var send string
	var methods []string
	for _, r := range turns {
		send += r.Send
		for i := range r.Answers() {
			methods = append(methods, r.Method(i))
		}
	}
	parts := 1 + random.IntN(3)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for len(send) > 0 {
			n := len(send)
			if parts > 1 {
				parts--
				n = 1 + n/2
			}
			// skein may have closed already: then its answers are on the way, and tell.
			if _, err := io.WriteString(c, send[:n]); err != nil {
				break
			}
			send = send[n:]
		}
		c.(*net.TCPConn).CloseWrite()
	})
	r := bufio.NewReader(c)
	count, closed := 0, false
	for i := 0; ; {
		if _, err := r.Peek(1); err != nil {
			if err == io.EOF {
				return count, nil
			}
			if i > 0 && closed && errors.Is(err, syscall.ECONNRESET) {
				return count, nil // the end was announced; what came after it was not read
			}
			return count, fmt.Errorf("after %d answers: %w", i, err)
		}
		method := http.MethodGet
		if i < len(methods) {
			method = methods[i]
		}
		a, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return count, fmt.Errorf("answer %d: %w", i, err)
		}
		if a.StatusCode < 200 {
			continue
		}
		closed = a.Close
		if a.Header.Get("X-Origin") != "" {
			count++
		}
		if _, err := io.Copy(io.Discard, a.Body); err != nil {
			return count, fmt.Errorf("body of answer %d: %w", i, err)
		}
		i++
	}
}

// nginx reads whole requests, bodies included, before its inner server sees and counts them.
func nginx(t *testing.T) (string, func() []string) {
	inner := harness.Nginx(t, `location / { add_header X-Origin nginx always; return 200 "hello\n"; }`)
	outer := harness.Nginx(t, fmt.Sprintf(`location / { proxy_pass http://%s; }`, inner.Addr))
	return outer.Addr, func() []string {
		outer.Kill() // nothing is on its way in there any more
		return lines(t, filepath.Join(inner.Dir, "access.log"))
	}
}

func netHTTP(t *testing.T) (string, func() []string) {
	var mu sync.Mutex
	var targets []string
	addr := harness.NetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // not a whole request
		}
		mu.Lock()
		targets = append(targets, r.RequestURI)
		mu.Unlock()
		w.Header().Set("X-Origin", "net/http")
		io.WriteString(w, "hello\n")
	}))
	return addr, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return targets
	}
}

func php(t *testing.T) (string, func() []string) {
	p := harness.PHP(t, `<?php
file_put_contents(__DIR__ . "/requests.log", $_SERVER["REQUEST_METHOD"] . " " . $_SERVER["REQUEST_URI"] . "\n", FILE_APPEND | LOCK_EX);
header("X-Origin: php");
echo "hello\n";
`)
	return p.Addr, func() []string { return lines(t, filepath.Join(p.Dir, "requests.log")) }
}

func lines(t *testing.T, file string) []string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(bytes.TrimSpace(b)), "\n")
}
