package pool

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skein/config"
)

// Members live on by server, address and port, and with them all that is known of them; nothing of the next configuration is
// seen before the commit.
func TestNextKeepsMembers(t *testing.T) {
	pol := &turns{}
	s := next(t, NewSet(), pol, conf(3))
	s.Commit(noon)
	p := s.Pool("web")
	old := p.Members()
	old[0].Stats.Answers[2].Add(7)
	p.Set(old[1], Unhealthy, true, noon)

	c := conf(4)
	c.Members[0].Weight = 9
	c.Members[1].Backup = true
	c.Members[2].Port = 81 // not the same member any more
	c.MaxConns = 5
	n := next(t, s, pol, c)
	if n.Pool("web") != p {
		t.Error("the pool is another one")
	}
	if p.Config().MaxConns != 0 || old[0].Weight() != 100 || len(p.Members()) != 3 || names(p.Usable()) != " web1 web3" {
		t.Errorf("changed before the commit: limit %d, weight %d, members%s, usable%s",
			p.Config().MaxConns, old[0].Weight(), names(p.Members()), names(p.Usable()))
	}
	n.Commit(noon)
	ms := p.Members()
	if len(ms) != 4 || ms[0] != old[0] || ms[1] != old[1] || ms[2] == old[2] || ms[2].Address != "10.0.0.3:81" {
		t.Errorf("members after the commit: %v", ms)
	}
	if ms[0].Weight() != 900 || ms[0].Stats.Answers[2].Load() != 7 || ms[1].Reasons() != Unhealthy || p.Config().MaxConns != 5 {
		t.Errorf("after the commit: weight %d, answers %d, reasons %q, limit %d",
			ms[0].Weight(), ms[0].Stats.Answers[2].Load(), ms[1].Reasons(), p.Config().MaxConns)
	}
	if got := names(p.Usable()); got != " web1 web3 web4" {
		t.Errorf("usable%s", got)
	}
	n.Commit(noon) // a second time does nothing
	if len(p.Members()) != 4 {
		t.Error("the second commit did something")
	}
}

func TestNextPools(t *testing.T) {
	pol := &turns{}
	api, web := conf(1), conf(2)
	api.Name = "api"
	s := next(t, NewSet(), pol, api, web)
	s.Commit(noon)
	if len(s.Pools()) != 2 || s.Pools()[0].Name != "api" || s.Pool("none") != nil {
		t.Errorf("pools: %v", s.Pools())
	}
	old := s.Pool("web")
	m := acquire(t, old)
	s = next(t, s, pol, api)
	s.Commit(noon)
	if s.Pool("web") != nil || len(s.Pools()) != 1 {
		t.Error("the removed pool is still there")
	}
	old.Release(m) // what runs may finish
	if acquire(t, old) == nil || m.ID != "web/web1/10.0.0.1:80" && m.ID != "web/web2/10.0.0.2:80" {
		t.Errorf("ID = %s", m.ID)
	}
}

func TestNextError(t *testing.T) {
	bad := errors.New("unknown policy")
	_, err := NewSet().Next(&config.Config{Pools: []*config.Pool{conf(1)}}, Options{Policy: func(config.Policy) (Policy, error) { return nil, bad }})
	if !errors.Is(err, bad) || !strings.HasPrefix(err.Error(), `pool "web": `) {
		t.Errorf("Next = %v", err)
	}
}

// A new member of a drained server starts drained; the drains of the old ones are cluster's to change.
func TestNextDrained(t *testing.T) {
	s, err := NewSet().Next(&config.Config{Pools: []*config.Pool{conf(2)}}, Options{
		Policy:  func(config.Policy) (Policy, error) { return &turns{}, nil },
		Drained: func(server string) bool { return server == "web1" },
		Now:     noon,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Commit(noon)
	if got := names(s.Pool("web").Usable()); got != " web2" {
		t.Errorf("usable%s", got)
	}
}

// The same server twice with one port is odd, but each stays itself over a reload.
func TestNextTwins(t *testing.T) {
	pol := &turns{}
	twins := func() *config.Pool {
		c := conf(1)
		c.Members = append(c.Members, c.Members[0])
		return c
	}
	s := next(t, NewSet(), pol, twins())
	s.Commit(noon)
	n := next(t, s, pol, twins())
	n.Commit(noon)
	if ms := n.Pool("web").Members(); ms[0] == ms[1] {
		t.Error("two members became one")
	}
}

// A member that a reload removed gets no more work, not from the queue either.
func TestRemovedMemberIsNotHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pol := &turns{}
		c := conf(2)
		c.MaxConns, c.Queue, c.QueueTimeout = 1, 10, time.Minute
		s := next(t, NewSet(), pol, c)
		s.Commit(noon)
		p := s.Pool("web")
		a, b := acquire(t, p), acquire(t, p)
		if a.Server != "web1" {
			a, b = b, a
		}
		var got *Member
		go func() { got, _ = p.Acquire(0, nil, &Mask{}, nil) }()
		synctest.Wait()
		less := *c
		less.Members = c.Members[1:]
		next(t, s, pol, &less).Commit(noon)
		p.Release(a)
		synctest.Wait()
		if got != nil {
			t.Fatalf("got %s, which was removed", got.ID)
		}
		p.Release(b)
		synctest.Wait()
		if got != b {
			t.Errorf("got %v, want web2", got)
		}
	})
}
