//go:build linux

package listen

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// offer begins a handover to a Set in the same process, which does not know the difference.
func offer(t testing.TB, elder *Set) (h *Handover, heir *Set, e *Elder) {
	t.Helper()
	ours, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	type taken struct {
		s   *Set
		e   *Elder
		err error
	}
	done := make(chan taken, 1)
	go func() {
		s, e, err := Inherit(theirs)
		done <- taken{s, e, err}
	}()
	if h, err = elder.Offer(ours, time.Now().Add(20*time.Second)); err != nil {
		t.Fatal(err)
	}
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	return h, got.s, got.e
}

// finish carries a handover to its end.
func finish(t testing.TB, h *Handover, heir *Set, e *Elder) {
	t.Helper()
	if err := e.Ready(); err != nil {
		t.Fatal(err)
	}
	if err := h.Ready(); err != nil {
		t.Fatal(err)
	}
	h.ClosePlain(time.Minute)
	h.LetGo()
	if err := h.Go(); err != nil {
		t.Fatal(err)
	}
	if err := e.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	heir.Begin()
}

// accepted waits for the next connections of a listener, whose other sides are these.
func accepted(t testing.TB, l *Listener, conns ...net.Conn) {
	t.Helper()
	got := make(chan netip.AddrPort, 16)
	go func() {
		_ = l.Accept(func(fd int, nc net.Conn, client netip.AddrPort) { take(fd, nc, client); got <- client })
	}()
	for _, c := range conns {
		select {
		case a := <-got:
			if a.String() != c.LocalAddr().String() {
				t.Errorf("accepted %v, want %v", a, c.LocalAddr())
			}
		case <-time.After(20 * time.Second):
			t.Error("nobody was accepted")
		}
	}
}

func TestBacklogSurvivesAnUpgrade(t *testing.T) {
	elder := NewSet()
	l := open(t, elder, "127.0.0.1:0")
	unwanted := open(t, elder, "127.0.0.2:0")
	h, heir, e := offer(t, elder)
	c := say(t, l) // nobody accepts it in the elder
	next := open(t, heir, "127.0.0.1:0")
	if next.Addr().String() != l.Addr().String() {
		t.Fatalf("the heir listens on %v, the elder on %v", next.Addr(), l.Addr())
	}
	early := make(chan error, 1)
	go func() {
		early <- next.Accept(func(int, net.Conn, netip.AddrPort) { t.Error("accepted before the elder let go") })
	}()
	next.Release() // this ends who waits for the beginning
	if err := <-early; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, want net.ErrClosed", err)
	}
	l.Release() // as if the elder had died: there is no other copy
	unwanted.Release()
	if _, err := net.Dial("tcp", unwanted.Addr().String()); err != nil {
		t.Errorf("what the heir did not ask for is closed before it begins: %v", err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection got an answer of nobody")
	}
	finish(t, h, heir, e)
	if c, err := net.Dial("tcp", unwanted.Addr().String()); err == nil {
		c.Close()
		t.Error("what nobody asked for is still open")
	}
}

func TestConnectionInTheBacklogGoesToTheHeir(t *testing.T) {
	elder := NewSet()
	l := open(t, elder, "127.0.0.1:0")
	c := say(t, l)
	h, heir, e := offer(t, elder)
	next := open(t, heir, "127.0.0.1:0")
	defer next.Release()
	finish(t, h, heir, e)
	l.Release()
	accepted(t, next, c, say(t, next))
}

// An heir that is never ready leaves the elder as it was.
func TestWithdraw(t *testing.T) {
	elder := NewSet()
	l, p := open(t, elder, "127.0.0.1:0"), openPacket(t, elder, "127.0.0.1:0")
	defer l.Release()
	defer p.Release()
	stop := echo(t, p, "elder")
	defer stop()
	path := filepath.Join(t.TempDir(), "s")
	a, err := elder.Listen(context.Background(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	c := dial(t, p.Addr().String())
	for range 3 {
		h, heir, e := offer(t, elder)
		next := openPacket(t, heir, "127.0.0.1:0")
		end := echo(t, next, "heir")
		b, err := heir.Listen(context.Background(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		end()
		next.Release()
		heir.Discard()
		e.Close()
		if err := h.Ready(); !errors.Is(err, io.EOF) {
			t.Errorf("Ready = %v, want io.EOF", err)
		}
		h.Withdraw()
		if got := ask(t, c, "x"); got != "elder x" {
			t.Errorf("answer = %q", got)
		}
		if got := ask(t, dial(t, p.Addr().String()), "x"); got != "elder x" {
			t.Errorf("answer to a new connection = %q", got)
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the heir has removed the path: %v", err)
	}
}

func TestUnixSocketIsHandedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ctx := context.Background()
	elder := NewSet()
	a, err := elder.Listen(ctx, "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dialUnix := func() net.Conn {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dialUnix()
	served, err := a.Accept()
	if err != nil {
		t.Fatal(err)
	}
	dialUnix() // waits in the backlog
	h, heir, e := offer(t, elder)
	h.ClosePlain(time.Millisecond) // somebody talks to the elder, and longer than it waits
	served.Close()
	b, err := heir.Listen(ctx, "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	finish(t, h, heir, e)
	if _, err := a.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the elder's Accept = %v, want net.ErrClosed", err)
	}
	a.Close()
	got, err := b.Accept()
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
	if again, err := net.Dial("unix", path); err != nil {
		t.Errorf("the path is gone: %v", err)
	} else {
		again.Close()
	}
	b.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the heir has left its path behind: %v", err)
	}
}

// Three processes share a socket; each goes on with its own connections.
func TestQUICThroughAChainOfUpgrades(t *testing.T) {
	sets := []*Set{NewSet()}
	names := []string{"first", "second", "third"}
	packets := []*Packet{openPacket(t, sets[0], "127.0.0.1:0")}
	stops := []func(){echo(t, packets[0], names[0])}
	address := packets[0].Addr().String()
	conns := map[string]func(text string) string{}
	connect := func(name string) {
		c := dial(t, address)
		conns[name] = func(text string) string { return ask(t, c, text) }
	}
	connect("first")
	check := func(names ...string) {
		t.Helper()
		for _, n := range names {
			text := strings.Repeat(n, 20000)
			if got := conns[n](text); got != n+" "+text {
				t.Errorf("%s answers %.30q (%d bytes)", n, got, len(got))
			}
		}
	}
	check("first")
	for i := 1; i < 3; i++ {
		h, heir, e := offer(t, sets[i-1])
		p := openPacket(t, heir, "127.0.0.1:0")
		stops, packets, sets = append(stops, echo(t, p, names[i])), append(packets, p), append(sets, heir)
		check(names[:i]...) // the elder still reads
		finish(t, h, heir, e)
		check(names[:i]...)
		connect(names[i])
		check(names[:i+1]...)
	}
	if sets[2].Secret("x") != sets[0].Secret("x") || sets[2].Secret("x") == sets[2].Secret("y") {
		t.Error("secrets are not those of the chain")
	}
	if a, b, c := sets[0].ids.generation, sets[1].ids.generation, sets[2].ids.generation; a == b || b == c || a == c {
		t.Errorf("generations %d, %d, %d", a, b, c)
	}
	stops[0]()
	packets[0].Release()
	waitFor(t, "the first one's route ends", func() bool { return len(packets[2].conn.living()) == 1 })
	check("second", "third")
	// The newest dies: the elder reads the socket again, for its own.
	stops[2]()
	packets[2].Release()
	check("second")
	stops[1]()
	packets[1].Release()
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not in time", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestInheritOfNobody(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := syscall.Dup(int(f.Fd())) // Inherit closes it
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Inherit(fd); !errors.Is(err, errElder) {
		t.Errorf("Inherit of a file = %v", err)
	}
	for name, first := range map[string]message{
		"another version": {Kind: helloKind, Version: 99, Key: make([]byte, 32)},
		"no key":          {Kind: helloKind, Version: handoverVersion},
		"no hello":        {Kind: goKind},
	} {
		ours, theirs, err := Pair()
		if err != nil {
			t.Fatal(err)
		}
		if err := tell(ours, first, nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Inherit(theirs); err == nil || !strings.Contains(err.Error(), "hint: restart skein") {
			t.Errorf("%s: Inherit = %v", name, err)
		}
		ours.Close()
	}
	ours, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	if err := tell(ours, message{Kind: helloKind, Version: handoverVersion, Key: make([]byte, 32)}, nil); err != nil {
		t.Fatal(err)
	}
	ours.Close()
	if _, _, err := Inherit(theirs); !errors.Is(err, io.EOF) {
		t.Errorf("Inherit of an elder that dies = %v, want io.EOF", err)
	}
}
