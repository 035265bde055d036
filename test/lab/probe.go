package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skein/test/harness"
)

// Probing says how a visitor asks.
type Probing struct {
	Period  time.Duration // between the beginnings of two requests; 0 is 5 ms
	Timeout time.Duration // of each; 0 is 5 s
	Keep    bool          // keep connections, as browsers do; else each request has a new one
}

// Probe is a visitor who asks for a URL again and again, by the clock: a request that hangs does not delay the next ones.
//
// With [Probing].Keep it is one connection as long as answers come. A request on a kept connection that ends without a byte of
// an answer is repeated on a new one, as RFC 9110 section 9.2.2 allows and browsers do; that is no failure.
type Probe struct {
	t       testing.TB
	host    *Host
	options Probing
	addr    netip.AddrPort
	request string
	begin   time.Time
	stop    context.CancelFunc
	ended   chan struct{} // closed when the last request has ended

	mu      sync.Mutex // guards the rest
	done    []Request
	idle    []*visit
	lag     time.Duration
	running int
}

// Request is one request that has ended.
type Request struct {
	Start, End  time.Time
	Status      int
	Server      string // who has answered: the field X-Origin, without it the first word of the body
	Err         error  // nil: the answer was whole, and a 200
	Retransmits int    // of TCP by this side, SYNs above all: they make a request late, and no failure
	Fresh       bool   // on a new connection
	Repeated    bool   // the kept connection had been closed
}

// Took is how long it took.
func (r Request) Took() time.Duration { return r.End.Sub(r.Start) }

// probeLimit is how many requests are remembered; at 5 ms that is an hour and a half.
const probeLimit = 1 << 20

// Probe begins to ask for a URL, as "http://10.0.0.100/path", until [Probe.Stop] or the end of the test.
func (h *Host) Probe(target string, o Probing) *Probe {
	h.lab.t.Helper()
	if o.Period == 0 {
		o.Period = 5 * time.Millisecond
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" {
		h.lab.t.Fatalf("probe %q: not a URL of http (%v)", target, err)
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		h.lab.t.Fatalf("probe %q: %v", target, err)
	}
	port := uint16(80)
	if u.Port() != "" {
		port = netip.MustParseAddrPort("0.0.0.0:" + u.Port()).Port()
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Probe{
		t: h.lab.t, host: h, options: o, addr: netip.AddrPortFrom(ip, port), begin: time.Now(), stop: stop, ended: make(chan struct{}),
		request: "GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\n\r\n",
	}
	go p.run(ctx)
	h.lab.t.Cleanup(func() { p.Stop() })
	return p
}

// run sends requests by the clock. What it was late for it sends at once.
func (p *Probe) run(ctx context.Context) {
	defer close(p.ended)
	var wg sync.WaitGroup
	defer wg.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next := p.begin; ; next = next.Add(p.options.Period) {
		if wait := time.Until(next); wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
		} else if ctx.Err() != nil {
			return
		}
		start := time.Now()
		p.mu.Lock()
		p.lag = max(p.lag, start.Sub(next))
		full := len(p.done)+p.running >= probeLimit
		p.running++
		p.mu.Unlock()
		if full {
			p.t.Errorf("probe of %s: more than %d requests", p.addr, probeLimit)
			return
		}
		wg.Go(func() {
			r := p.ask(start)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.running--
			p.done = append(p.done, r)
		})
	}
}

// ask sends one request.
func (p *Probe) ask(start time.Time) (r Request) {
	r.Start = start
	deadline := start.Add(p.options.Timeout)
	v := p.take()
	if v == nil {
		r.Fresh = true
		v = &visit{}
		r.Err = v.connect(p.host, p.addr, deadline)
	}
	if r.Err == nil {
		begun := false
		begun, r.Err = v.exchange(p.request, deadline, &r)
		if r.Err != nil && !begun && !r.Fresh && !errors.Is(r.Err, os.ErrDeadlineExceeded) {
			v.close()
			r.Fresh, r.Repeated = true, true
			v = &visit{}
			if r.Err = v.connect(p.host, p.addr, deadline); r.Err == nil {
				_, r.Err = v.exchange(p.request, deadline, &r)
			}
		}
	}
	r.End = time.Now()
	r.Retransmits = v.retransmits()
	if r.Err == nil && p.options.Keep && !v.last {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.idle = append(p.idle, v)
	} else {
		v.close()
	}
	if r.Err == nil && r.Status != http.StatusOK {
		r.Err = fmt.Errorf("status %d", r.Status)
	}
	return r
}

// take returns a kept connection, the youngest, nil without one.
func (p *Probe) take() *visit {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	v := p.idle[n-1]
	p.idle = p.idle[:n-1]
	return v
}

// Stop ends the visits: those that run may end, each within its timeout. It returns what there was.
func (p *Probe) Stop() Report {
	p.stop()
	last := time.Now() // nobody asks after that: that a hanging request still hangs is no gap
	<-p.ended
	p.mu.Lock()
	for _, v := range p.idle {
		v.close()
	}
	p.idle = nil
	p.mu.Unlock()
	r := p.Report()
	r.To = last
	return r
}

// Report is what there was until now. Requests that run are not in it.
func (p *Probe) Report() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := Report{Period: p.options.Period, From: p.begin, To: time.Now(), Lag: p.lag, Requests: slices.Clone(p.done)}
	slices.SortFunc(r.Requests, func(a, b Request) int { return a.Start.Compare(b.Start) })
	return r
}

// Answered waits for a request that began after this call and went well, and returns it.
func (p *Probe) Answered(within time.Duration) Request {
	p.t.Helper()
	begin := time.Now()
	var found Request
	harness.Eventually(p.t, within, fmt.Sprintf("%s answers %s", p.addr, p.host.Name), func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, r := range slices.Backward(p.done) {
			if r.Start.After(begin) && r.Err == nil {
				found = r
				return true
			}
			if r.End.Before(begin) {
				return false
			}
		}
		return false
	})
	return found
}

// visit is a TCP connection of a host. Only its socket is made on one of the host's threads, so that a thousand connections that
// hang do not need a thousand threads.
type visit struct {
	file *os.File
	r    *bufio.Reader
	last bool // the server has said that it closes
}

// connect opens it.
func (v *visit) connect(h *Host, to netip.AddrPort, deadline time.Time) error {
	family := unix.AF_INET
	var addr unix.Sockaddr = &unix.SockaddrInet4{Port: int(to.Port()), Addr: [4]byte{}}
	if to.Addr().Is4() {
		addr = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	} else {
		family, addr = unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	fd := -1
	if err := h.Do(func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	}); err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	if err := unix.Connect(fd, addr); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return fmt.Errorf("connect: %w", err)
	}
	v.file = os.NewFile(uintptr(fd), "connection to "+to.String())
	v.r = bufio.NewReader(v.file)
	if err := v.file.SetDeadline(deadline); err != nil {
		return err
	}
	raw, err := v.file.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	if err := raw.Write(func(fd uintptr) bool {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if n, err := unix.Poll(ready, 0); n == 0 || err != nil {
			return false
		}
		if code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
			refused = err
		} else if code != 0 {
			refused = unix.Errno(code)
		}
		return true
	}); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if refused != nil {
		return fmt.Errorf("connect: %w", refused)
	}
	return nil
}

// exchange sends the request and reads the answer into r; begun says that some of it came.
func (v *visit) exchange(request string, deadline time.Time, r *Request) (begun bool, err error) {
	if err := v.file.SetDeadline(deadline); err != nil {
		return false, err
	}
	if _, err := v.file.WriteString(request); err != nil {
		return false, fmt.Errorf("send: %w", err)
	}
	if _, err := v.r.Peek(1); err != nil {
		return false, fmt.Errorf("receive: %w", err)
	}
	resp, err := http.ReadResponse(v.r, nil)
	if err != nil {
		return true, fmt.Errorf("receive: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return true, fmt.Errorf("receive the body: %w", err)
	}
	r.Status, r.Server, v.last = resp.StatusCode, resp.Header.Get("X-Origin"), resp.Close
	if r.Server == "" {
		r.Server, _, _ = strings.Cut(strings.TrimSpace(string(body[:min(len(body), 100)])), " ")
	}
	return true, nil
}

// retransmits asks the kernel how many segments were sent again.
func (v *visit) retransmits() (n int) {
	if v.file == nil {
		return 0
	}
	raw, err := v.file.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int(info.Total_retrans)
		}
	})
	return n
}

func (v *visit) close() {
	if v.file != nil {
		v.file.Close()
	}
}
