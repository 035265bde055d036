package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skein/admin"
	"skein/config"
	"skein/policy"
	"skein/pool"
)

// fixture is an Engine whose file a test changes.
type fixture struct {
	*Engine
	t      *testing.T
	dir    string
	file   string // what the next Load reads
	log    *locked
	notify *net.UnixConn
}

// locked is a buffer that is written and read at the same time.
type locked struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (f *fixture) options() Options {
	return Options{
		Load: func() (*config.Config, error) {
			text := f.file + fmt.Sprintf("\nstate = %q\nadmin {\n  socket = %q\n}\n", f.dir, filepath.Join(f.dir, "s"))
			return config.Parse("skein.hcl", []byte(text), config.Options{Policies: policy.Names()})
		},
		Log: f.log, Access: f.log, Version: "test", Notify: filepath.Join(f.dir, "notify"),
	}
}

func newFixture(t *testing.T, file string) *fixture {
	t.Helper()
	dir, err := os.MkdirTemp("", "skein") // short: sockets live there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &fixture{t: t, dir: dir, file: file, log: &locked{}}
	f.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.notify.Close() })
	if f.Engine, err = New(t.Context(), f.options()); err != nil {
		t.Fatal(err)
	}
	return f
}

// run runs the engine; stop ends it and returns its error.
func (f *fixture) run() (stop func() error) {
	ctx, cancel := context.WithCancel(f.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	f.told("READY=1")
	return func() error { cancel(); return <-ended }
}

// told fails the test unless systemd is told so next.
func (f *fixture) told(want string) {
	f.t.Helper()
	b := make([]byte, 512)
	if err := f.notify.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		f.t.Fatal(err)
	}
	n, err := f.notify.Read(b)
	if got := string(b[:n]); err != nil || !strings.HasPrefix(got, want) {
		f.t.Fatalf("systemd was told %q, %v, want %q", got, err, want)
	}
}

const site = `
http "site" {
  listen  = "127.0.0.1:0"
  servers = ["127.0.0.1:1"]
}
`

// spy is a service that writes down what is asked of it.
type spy struct {
	name string
	fail error
	does func(ctx context.Context) error
	book *[]string
}

func (s *spy) Prepare(context.Context, *config.Config, *pool.Set) (commit, discard func(), err error) {
	note := func(what string) { *s.book = append(*s.book, what+" "+s.name) }
	note("prepare")
	if s.fail != nil {
		return nil, nil, s.fail
	}
	return func() { note("commit") }, func() { note("discard") }, nil
}

func (s *spy) Run(ctx context.Context) error {
	if s.does != nil {
		return s.does(ctx)
	}
	<-ctx.Done()
	return nil
}

func TestReloadAllOrNothing(t *testing.T) {
	f := newFixture(t, site)
	var book []string
	a, b := &spy{name: "a", book: &book}, &spy{name: "b", book: &book}
	f.parts.services = append(f.parts.services, part{"a", a}, part{"b", b})
	stop := f.run()
	before, pools := f.Config(), f.live.Load().set

	// A service that cannot: all others discard, in reverse, and nothing has changed.
	b.fail = errors.New("no room")
	f.file = site + "pool \"new\" {\n  servers = [\"127.0.0.1:2\"]\n}\n"
	if err := f.Reload(t.Context()); err == nil || err.Error() != "b: no room" {
		t.Errorf("reload = %v, want b: no room", err)
	}
	f.told("RELOADING=1\nMONOTONIC_USEC=")
	f.told("READY=1")
	if want := []string{"prepare a", "prepare b", "discard a"}; !slices.Equal(book, want) {
		t.Errorf("services saw %v, want %v", book, want)
	}
	if f.Config() != before || f.live.Load().set != pools {
		t.Error("a reload that failed has changed the configuration")
	}
	if l := *f.last.Load(); l.OK || l.Error != "b: no room" || l.Hash != before.Hash {
		t.Errorf("last reload = %+v", l)
	}

	// A file that is wrong is not even prepared, and is logged once, in one line with its place.
	book = nil
	f.file = site + "htpp \"x\" {\n}\n"
	var d *config.Diagnostics
	if err := f.Reload(t.Context()); !errors.As(err, &d) {
		t.Errorf("reload of a wrong file = %v", err)
	}
	if len(book) > 0 {
		t.Errorf("services saw %v of a wrong file", book)
	}
	if n := strings.Count(f.log.String(), "skein.hcl:6: "); n != 1 {
		t.Errorf("the mistake stands in the log %d times, want 1:\n%s", n, f.log)
	}

	// A right one: everything commits, and members that stay are the same.
	b.fail, f.file = nil, site+"# changed\n"
	if err := f.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"prepare a", "prepare b", "commit a", "commit b"}; !slices.Equal(book, want) {
		t.Errorf("services saw %v, want %v", book, want)
	}
	if f.Config().Hash == before.Hash {
		t.Error("the configuration is the old one")
	}
	if f.live.Load().set.Pool("site").Members()[0] != pools.Pool("site").Members()[0] {
		t.Error("an unchanged member was replaced")
	}
	if l := *f.last.Load(); !l.OK || l.Hash != f.Config().Hash {
		t.Errorf("last reload = %+v", l)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := f.Reload(t.Context()); err == nil {
		t.Error("a stopped engine was reloaded")
	}
}

func TestStateDirectoryStays(t *testing.T) {
	f := newFixture(t, site)
	dir := f.dir
	f.dir = filepath.Join(dir, "other")
	if err := f.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "restart skein") {
		t.Errorf("reload with another state directory = %v", err)
	}
	f.dir = dir
}

// TestStopOrder: while a service finishes its work, the admin socket still answers, and says that the node is stopping.
func TestStopOrder(t *testing.T) {
	f := newFixture(t, site)
	var during admin.Status
	var err error
	f.parts.services = append(f.parts.services, part{"slow", &spy{does: func(ctx context.Context) error {
		<-ctx.Done()
		for range 100 { // the service may see the end before the engine has noted it
			if during, err = admin.NewClient(filepath.Join(f.dir, "s")).Status(context.WithoutCancel(ctx)); err != nil || during.State == "stopping" {
				return err
			}
		}
		return errors.New("the node never said that it stops")
	}}})
	stop := f.run()
	if err := stop(); err != nil {
		t.Error(err)
	}
	f.told("STOPPING=1")
	if during.State != "stopping" {
		t.Errorf("state during the stop = %q", during.State)
	}
	if _, err := admin.NewClient(filepath.Join(f.dir, "s")).Status(t.Context()); err == nil {
		t.Error("the admin socket answers after the stop")
	}
}

// TestBrokenService: a part that ends with an error ends the rest.
func TestBrokenService(t *testing.T) {
	f := newFixture(t, site)
	f.parts.services = append(f.parts.services, part{"fragile", &spy{does: func(context.Context) error { return errors.New("crack") }}})
	if err := f.Run(t.Context()); err == nil || err.Error() != "fragile: crack" {
		t.Errorf("Run = %v, want fragile: crack", err)
	}
}

// TestFirstStart: what a start that fails has opened is closed.
func TestFirstStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	f := &fixture{t: t, dir: t.TempDir(), log: &locked{}}
	f.file = fmt.Sprintf("http \"site\" {\n  listen  = %q\n  servers = [\"127.0.0.1:1\"]\n}\n", taken.Addr())
	if _, err = New(t.Context(), f.options()); err == nil || !strings.Contains(err.Error(), "skein.hcl:1") {
		t.Errorf("start on a taken address = %v", err)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "s")); err == nil {
		t.Error("the admin socket is left")
	}
}

func TestLogs(t *testing.T) {
	var b bytes.Buffer
	handler, log := newLogs(&b)
	handler.apply(config.Log{Level: "warn", Format: "text"})
	early := log.With("pool", "web").WithGroup("g")
	early.Info("quiet")
	early.Warn("loud", "a", 1)
	handler.apply(config.Log{Level: "debug", Format: "json"})
	early.Debug("detail", "a", 2)
	got := b.String()
	if strings.Contains(got, "quiet") || !strings.Contains(got, `msg=loud pool=web g.a=1`) || !strings.Contains(got, `"msg":"detail","pool":"web","g":{"a":2}}`) {
		t.Errorf("log:\n%s", got)
	}
}

// Reloads queue behind each other: between the prepare and the commit of one nothing happens to another. The spy's book has no
// lock, so the race detector sees it, too.
func TestReloadsAreSerialised(t *testing.T) {
	f := newFixture(t, site)
	var book []string
	f.parts.services = append(f.parts.services, part{"a", &spy{name: "a", book: &book}})
	var all sync.WaitGroup
	const reloads = 4
	for range reloads {
		all.Go(func() {
			if err := f.Reload(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(book) != 2*reloads {
		t.Fatalf("%d steps, want %d", len(book), 2*reloads)
	}
	for i, step := range book {
		if want := []string{"prepare a", "commit a"}[i%2]; step != want {
			t.Errorf("step %d is %q, want %q", i, step, want)
		}
	}
}
