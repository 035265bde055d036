package vrrp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// A script is a table of scenes: at each, one event, what the group has to do, and when its next deadline is.
type scene struct {
	at   time.Duration // since the start of the script
	do   event
	want string        // see story
	next time.Duration // the deadline afterwards; never is none
}

type event func(g *Group, now Time) []Action

const never = time.Duration(-1)

// epoch is not 0, so that nothing relies on it.
const epoch = Time(1000 * time.Hour)

func start(g *Group, now Time) []Action { return g.Start(now) }
func stop(g *Group, now Time) []Action  { return g.Stop(now) }
func tick(g *Group, now Time) []Action  { return g.Tick(now) }

func yield(g *Group, now Time) []Action { return g.Yield(now, "drained") }

func priority(p uint8) event {
	return func(g *Group, now Time) []Action { return g.SetPriority(now, g.Machines()[0], p) }
}

func fault(link int, reason string) event {
	return func(g *Group, now Time) []Action {
		return g.Fault(now, g.Machines()[link], reason != "", reason)
	}
}

// hear is an advertisement of a peer, who has the settings of machine 0 but for the priority.
func hear(from string, priority uint8) event { return hearOn(0, from, priority, 0) }

// hearEvery is one of a peer with another interval.
func hearEvery(from string, priority uint8, interval time.Duration) event {
	return hearOn(0, from, priority, interval)
}

func hearOn(link int, from string, priority uint8, interval time.Duration) event {
	return func(g *Group, now Time) []Action {
		m := g.Machines()[link]
		a := m.advert(priority)
		if interval > 0 {
			a.Interval = interval
		}
		return g.Receive(now, m, m.fromPeer(a, from))
	}
}

func (m *Machine) fromPeer(a Advert, from string) Received {
	r := Received{Src: ip(from), Dst: Multicast(!m.v4()), TTL: 255}
	if len(m.s.Peers) > 0 {
		r.Dst = m.s.Source
	}
	r.Payload = a.Append(nil, r.Src, r.Dst, false)
	return r
}

func configure(change func(s *Settings)) event {
	return func(g *Group, now Time) []Action {
		m := g.Machines()[0]
		s := m.Settings()
		change(&s)
		actions, ok := g.Configure(now, m, s)
		if !ok {
			return []Action{{Kind: Changed, Machine: m, From: "refused"}}
		}
		return actions
	}
}

// story tells actions in a line: "send 100; own; announce x5; backup>master". Machines of a group other than the first have
// their number before it.
func story(g *Group, actions []Action) string {
	var all []string
	count := 1
	for _, a := range actions {
		s := ""
		switch a.Kind {
		case Send:
			got, _, err := Parse(Received{Payload: a.Payload, Src: a.Machine.s.Source, Dst: a.Dst})
			if err != nil {
				return "a payload that cannot be parsed: " + err.Error()
			}
			s = fmt.Sprintf("send %d", got.Priority)
		case Changed:
			s = fmt.Sprintf("%s>%s", a.From, a.To)
		default:
			s = a.Kind.String()
			if !slices.Equal(a.Addresses, a.Machine.s.Addresses) {
				s += " " + last(a.Addresses)
			}
		}
		for i, m := range g.Machines() {
			if i > 0 && m == a.Machine {
				s = fmt.Sprintf("%d:%s", i, s)
			}
		}
		if k := len(all) - 1; k >= 0 && (all[k] == s || strings.HasPrefix(all[k], s+" x")) {
			count++
			all[k] = fmt.Sprintf("%s x%d", s, count)
			continue
		}
		count = 1
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

// last is how an address is told in a story: by its last byte.
func last(list []netip.Addr) string {
	var all []string
	for _, a := range list {
		b := a.AsSlice()
		all = append(all, fmt.Sprint(b[len(b)-1]))
	}
	return strings.Join(all, " ")
}

func follow(t *testing.T, settings []Settings, steps []scene) *Group {
	t.Helper()
	g, err := NewGroup(settings...)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range steps {
		if got := story(g, s.do(g, epoch+s.at)); got != s.want {
			t.Fatalf("step %d at %v:\n got %q\nwant %q (state %s, %s)", i+1, s.at, got, s.want, g.state, g.machines[0].reason)
		}
		next := never
		if at, ok := g.Deadline(); ok {
			next = at - epoch
		}
		if next != s.next {
			t.Fatalf("step %d at %v (%s): deadline %v, want %v (state %s, %s)", i+1, s.at, s.want, next, s.next, g.state, g.machines[0].reason)
		}
	}
	return g
}

const (
	ms  = time.Millisecond
	sec = time.Second
)

// v3 is node 10.0.0.5: 100 ms, priority 100, preempting.
func v3(changes ...func(s *Settings)) []Settings {
	s := Settings{
		Version: 3, RouterID: 10, Addresses: ips("10.0.0.100", "10.0.0.101"), Source: ip("10.0.0.5"), Interval: 100 * ms,
		Priority: 100, Preempt: true, Floor: 5,
	}
	for _, c := range changes {
		c(&s)
	}
	return []Settings{s}
}

func v2(s *Settings)        { s.Version, s.Interval = 2, sec }
func nopreempt(s *Settings) { s.Preempt = false }
func owner(s *Settings)     { s.Priority = OwnerPriority }

// seize and cede are what becoming master and leaving for a better one look like.
const (
	seize = "send 100; own; announce x5; backup>master"
	cede  = "disown; master>backup"
)
