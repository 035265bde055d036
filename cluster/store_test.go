package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"skein/config"
	"skein/pool"
)

// first is a policy that takes the first usable member.
type first struct{}

func (first) Build(usable []*pool.Member) pool.Picker { return picker(usable) }

type picker []*pool.Member

func (p picker) Pick(pool.Key, pool.Mask) *pool.Member { return p[0] }

// newSet makes pools: each is written as "name: server server ...".
func newSet(t *testing.T, o pool.Options, pools ...string) *pool.Set {
	t.Helper()
	c := &config.Config{}
	for _, p := range pools {
		name, servers, _ := strings.Cut(p, ": ")
		pc := &config.Pool{Name: name}
		for s := range strings.FieldsSeq(servers) {
			s, backup := strings.CutSuffix(s, "+")
			pc.Members = append(pc.Members, config.Member{
				Server: &config.Server{Name: s, Host: s}, Port: 80, Weight: 1, Backup: backup,
			})
		}
		c.Pools = append(c.Pools, pc)
	}
	o.Policy = func(config.Policy) (pool.Policy, error) { return first{}, nil }
	o.Now = time.Now()
	set, err := pool.NewSet().Next(c, o)
	if err != nil {
		t.Fatal(err)
	}
	set.Commit(o.Now)
	return set
}

// drained lists the members of set that are drained.
func drained(set *pool.Set) string {
	var d []string
	for _, p := range set.Pools() {
		for _, m := range p.Members() {
			if m.Reasons()&pool.Drained != 0 {
				d = append(d, m.Pool+"/"+m.Server)
			}
		}
	}
	return strings.Join(d, " ")
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// list is the drains as server/owner.
func list(s *Store) string {
	var l []string
	for _, d := range s.List() {
		l = append(l, d.Server+"/"+d.Owner)
	}
	return strings.Join(l, " ")
}

func TestAddAndRemove(t *testing.T) {
	// Each step is +server/owner or -server/owner (an empty owner is all), and the drains after it.
	for _, c := range []struct {
		name  string
		steps [][2]string
		want  string // members in the end
	}{
		{"one", [][2]string{{"+web1/ann", "web1/ann"}}, "web/web1 api/web1"},
		{"and back", [][2]string{{"+web1/ann", "web1/ann"}, {"-web1/ann", ""}}, ""},
		{"two owners", [][2]string{
			{"+web1/deploy", "web1/deploy"}, {"+web1/ann", "web1/ann web1/deploy"}, {"-web1/deploy", "web1/ann"},
		}, "web/web1 api/web1"},
		{"all owners", [][2]string{{"+web1/deploy", "web1/deploy"}, {"+web1/ann", "web1/ann web1/deploy"}, {"-web1/", ""}}, ""},
		{"again", [][2]string{{"+web1/ann", "web1/ann"}, {"+web1/ann", "web1/ann"}, {"-web1/ann", ""}}, ""},
		{"unknown server", [][2]string{{"+web9/ann", "web9/ann"}, {"+web2/ann", "web2/ann web9/ann"}}, "web/web2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			set := newSet(t, pool.Options{}, "web: web1 web2", "api: web1 api1")
			s.Apply(set)
			for _, step := range c.steps {
				server, owner, _ := strings.Cut(step[0][1:], "/")
				var err error
				if step[0][0] == '+' {
					err = s.Add(Drain{Server: server, Owner: owner})
				} else {
					err = s.Remove(server, owner)
				}
				if got := list(s); err != nil || got != step[1] {
					t.Fatalf("after %s: %q and %v, want %q", step[0], got, err, step[1])
				}
				if s.Drained(server) != strings.Contains(step[1], server+"/") {
					t.Errorf("after %s: Drained(%s) = %v", step[0], server, s.Drained(server))
				}
			}
			if got := drained(set); got != c.want {
				t.Errorf("drained members %q, want %q", got, c.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	s := open(t, t.TempDir())
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"no server", s.Add(Drain{Owner: "ann"}), "cluster: a drain needs a server"},
		{"no owner", s.Add(Drain{Server: "web1"}), "cluster: the drain of web1 needs an owner"},
		{
			"expired", s.Add(Drain{Server: "web1", Owner: "ann", Expires: time.Unix(0, 0).UTC()}),
			"cluster: the drain of web1 would have expired at 1970-01-01T00:00:00Z",
		},
		{"not drained", s.Remove("web1", ""), "cluster: web1 is not drained"},
		{"not by him", s.Remove("web1", "bob"), "cluster: web1 is not drained by bob"},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, c.err, c.want)
		}
	}
	if !errors.Is(s.Remove("web1", ""), ErrNotDrained) {
		t.Error("Remove of nothing is not ErrNotDrained")
	}
	if got := list(s); got != "" {
		t.Errorf("drains %q, want none", got)
	}
}

// A region is drained as a whole or not at all.
func TestAddMany(t *testing.T) {
	s := open(t, t.TempDir())
	err := s.Add(Drain{Server: "web1", Owner: "ann"}, Drain{Server: "web2"})
	if got := list(s); err == nil || got != "" {
		t.Errorf("Add of a good and a bad drain = %v and drains %q, want an error and none", err, got)
	}
	many := []Drain{{Server: "web2", Owner: "ann"}, {Server: "web1", Owner: "ann"}, {Server: "web2", Owner: "ann"}}
	if err := s.Add(many...); err != nil {
		t.Error(err)
	}
	if got := list(s); got != "web1/ann web2/ann" || !many[0].Since.IsZero() {
		t.Errorf("drains %q, want web1/ann web2/ann", got)
	}
}

func TestRestartKeepsDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "deep", "state")
		s := open(t, dir)
		now := time.Now()
		for _, d := range []Drain{
			{Server: "web2", Owner: "ann", Reason: `new "disk"`},
			{Server: "web1", Owner: "deploy", Expires: now.Add(time.Hour)},
			{Server: "web3", Owner: "ann", Expires: now.Add(time.Minute)},
		} {
			if err := s.Add(d); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute) // web3's expires while nothing runs
		s = open(t, dir)
		want := []Drain{
			{Server: "web1", Owner: "deploy", Since: now, Expires: now.Add(time.Hour)},
			{Server: "web2", Owner: "ann", Reason: `new "disk"`, Since: now},
		}
		if diff := cmp.Diff(want, s.List(), cmpopts.EquateApproxTime(0)); diff != "" {
			t.Errorf("List() after a restart (-want +got):\n%s", diff)
		}
		// A new member is drained before its first pick, and one that joins a live set too.
		set := newSet(t, pool.Options{Drained: s.Drained}, "web: web1 web3")
		if got := drained(set); got != "web/web1" {
			t.Errorf("drained members of a new set %q, want web/web1", got)
		}
		set = newSet(t, pool.Options{}, "web: web1 web2 web3")
		s.Apply(set)
		if got := drained(set); got != "web/web1 web/web2" {
			t.Errorf("drained members after Apply %q, want web/web1 web/web2", got)
		}
		for path, mode := range map[string]os.FileMode{dir: 0o750, filepath.Join(dir, "drains.json"): 0o640} {
			if i, err := os.Stat(path); err != nil || i.Mode().Perm()&^mode != 0 {
				t.Errorf("%s: %v, %v, want at most %v", path, i.Mode(), err, mode)
			}
		}
	})
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var logs bytes.Buffer
		s, err := Open(dir, slog.New(slog.NewTextHandler(&logs, nil)))
		if err != nil {
			t.Fatal(err)
		}
		set := newSet(t, pool.Options{}, "web: web1 web2")
		s.Apply(set)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		began := time.Now()
		add := func(server, owner string, d time.Duration) {
			t.Helper()
			n := Drain{Server: server, Owner: owner}
			if d > 0 {
				n.Expires = began.Add(d)
			}
			if err := s.Add(n); err != nil {
				t.Fatal(err)
			}
		}
		add("web1", "ann", 0)
		add("web1", "deploy", time.Hour)
		add("web2", "ann", time.Minute) // earlier than what Run waits for
		for _, c := range []struct {
			after time.Duration
			want  string
		}{
			{time.Minute - 1, "web1/ann web1/deploy web2/ann"},
			{time.Minute, "web1/ann web1/deploy"},
			{time.Hour, "web1/ann"},
			{1000 * time.Hour, "web1/ann"},
		} {
			time.Sleep(c.after - time.Since(began))
			synctest.Wait()
			if got := list(s); got != c.want {
				t.Errorf("drains after %v: %q, want %q", c.after, got, c.want)
			}
			if got := list(open(t, dir)); got != c.want {
				t.Errorf("file after %v: %q, want %q", c.after, got, c.want)
			}
		}
		if got := drained(set); got != "web/web1" {
			t.Errorf("drained members %q, want web/web1", got)
		}
		if n := strings.Count(logs.String(), `msg="drain expired"`); n != 2 {
			t.Errorf("log has %d expiries, want 2:\n%s", n, logs.String())
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
	})
}

// A longer drain by the same owner takes the place of the shorter one.
func TestExpiryIsMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir())
		go s.Run(t.Context())
		for _, d := range []time.Duration{time.Minute, time.Hour} {
			if err := s.Add(Drain{Server: "web1", Owner: "ann", Expires: time.Now().Add(d)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(59 * time.Minute)
		if !s.Drained("web1") {
			t.Error("web1 is no longer drained after 59m, want 1h")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.Drained("web1") {
			t.Error("web1 is drained after 1h, want no longer")
		}
	})
}

// full is a file on a full disk: it takes some bytes.
// lazy is a file on a disk that loses what it was given.
// Expired drains end even if the disk cannot be written, and do not come back with a restart.
// A kill between the write and the rename leaves the old drains, and a temporary file that is in nobody's way.
// A node that may not write runs, and says why it does not drain.
func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	s.file.create = func(path string) (output, error) { // a sync of each would take seconds
		f, err := os.Create(path)
		return noSync{f}, err
	}
	ctx, cancel := context.WithCancel(t.Context())
	var run, work sync.WaitGroup
	run.Go(func() { s.Run(ctx) })
	for _, owner := range []string{"ann", "bob", "deploy", "eve"} {
		work.Go(func() {
			for i := range 100 {
				server := []string{"web1", "web2", "web3"}[i%3]
				if err := s.Add(Drain{Server: server, Owner: owner, Expires: time.Now().Add(time.Hour)}); err != nil {
					t.Error(err)
				}
				if !s.Drained(server) {
					t.Errorf("%s is not drained after Add", server)
				}
				s.List()
				if err := s.Remove(server, owner); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Go(func() {
		for range 100 {
			s.Apply(newSet(t, pool.Options{Drained: s.Drained}, "web: web1 web2 web3"))
		}
	})
	work.Wait()
	cancel()
	run.Wait()
	if got := list(s) + drained(s.set); got != "" {
		t.Errorf("drains in the end: %q, want none", got)
	}
	var c content
	if b, err := os.ReadFile(s.file.path); err != nil || json.Unmarshal(b, &c) != nil || len(c.Drains) != 0 {
		t.Errorf("file in the end: %s, %v, want no drains", b, err)
	}
}

type noSync struct{ io.WriteCloser }

func (noSync) Sync() error { return nil }
