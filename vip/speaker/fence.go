package speaker

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"skein/kernel"
)

// A fence keeps an isolated node from owning an address: while its cable is cut, or its network is split, it hears no
// advertisement and would become master beside the true one. Echo requests to the other nodes and to witnesses (the gateway)
// tell whether it is the node that is cut off; see [Instance.Quorum] for the rule.
//
// Each address is asked once for all instances. An answer counts for [fenceRounds] rounds, and no less than fenceWindow.
type fence struct {
	seq     uint16
	every   time.Duration        // 0 is no fence
	next    time.Duration        // round
	judge   time.Duration        // when the rule is looked at next
	sockets [2]kernel.EchoSocket // IPv4, IPv6
	asked   [2]bool              // the socket was ordered
	targets map[netip.Addr]*target
}

// target is one address that is asked.
type target struct {
	addr     netip.Addr    // with its zone
	heard    time.Duration // the last answer, or the beginning
	answered bool          // ever
}

const (
	fenceRounds = 3
	fenceWindow = 300 * time.Millisecond
	// fenceFastest bounds what the requests cost the others.
	fenceFastest = 100 * time.Millisecond
)

func family(v6 bool) int {
	if v6 {
		return 1
	}
	return 0
}

// fenced tells whether an instance has such a rule.
func (c *Instance) fenced() bool { return c.Quorum > 0 || len(c.Witnesses) > 0 }

// targets are the addresses that the instance asks.
func (c *Instance) targets() []netip.Addr {
	if !c.fenced() {
		return nil
	}
	return slices.Concat(c.Others, c.Witnesses)
}

// fenceInterval is how often the targets of the instance are asked.
func (c *Instance) fenceInterval() time.Duration { return max(c.Router.Interval, fenceFastest) }

// fenceWindow is how long an answer counts.
func (c *Instance) fenceWindow() time.Duration {
	return max(fenceRounds*c.fenceInterval(), fenceWindow)
}

// raiseFence asks from now on those whom the instances need.
func (s *Speaker) raiseFence() {
	f, now := &s.fence, s.net.Now()
	old := f.targets
	f.targets, f.every = make(map[netip.Addr]*target), 0
	for _, i := range s.instances {
		for _, a := range i.conf.targets() {
			if f.every == 0 || i.conf.fenceInterval() < f.every {
				f.every = i.conf.fenceInterval()
			}
			bare := a.WithZone("") // as answers have it
			t := old[bare]
			if t == nil {
				t = &target{addr: a, heard: now}
			}
			f.targets[bare] = t
			if n := family(a.Is6()); !f.asked[n] {
				f.asked[n] = true
				s.openEcho(a.Is6())
			}
		}
	}
	if f.next == 0 {
		f.next, f.judge = now, now
	}
}

func (s *Speaker) openEcho(v6 bool) {
	s.hands.do(func() func() {
		socket, err := s.net.OpenEcho(v6)
		return func() {
			n := family(v6)
			if err != nil {
				s.log(slog.LevelError, "other nodes cannot be asked whether this one is isolated", "error", err)
				s.after(time.Minute, func() { s.openEcho(v6) })
				return
			}
			s.fence.sockets[n] = socket
			s.fence.next = s.net.Now() // the first question
			now := s.net.Now()
			for a, t := range s.fence.targets {
				if a.Is6() == v6 && !t.answered {
					t.heard = now // nobody has been asked before
				}
			}
			s.work.Go(func() { s.listenEcho(socket) })
		}
	})
}

// listenEcho hands answers to the speaker until the socket is closed.
func (s *Speaker) listenEcho(socket kernel.EchoSocket) {
	var rate governor
	for {
		src, id, _, err := socket.Receive()
		switch {
		case isClosed(err):
			return
		case err != nil:
			if !s.pause(10 * time.Millisecond) { // an error that stays must not keep a processor busy
				return
			}
		case id == s.o.ID:
			s.post(event{echo: src})
		}
		if d, _ := rate.read(time.Now(), governorBase); d > 0 && !s.pause(d) {
			return
		}
	}
}

// answered is called for each answer.
func (s *Speaker) answered(src netip.Addr) {
	t := s.fence.targets[src.WithZone("")]
	if t == nil {
		return
	}
	now := s.net.Now()
	t.heard, t.answered = now, true
	for _, i := range s.instances {
		if i.isolated { // it ends at once
			s.judgeFence(now)
			return
		}
	}
}

// judgeFence applies the rule to all instances. The next time is when an answer is too old; an answer that comes ends an isolation
// by itself.
func (s *Speaker) judgeFence(now time.Duration) {
	s.fence.judge = now + s.fence.every
	for _, i := range s.instances {
		for _, list := range [][]netip.Addr{i.conf.Others, i.conf.Witnesses} {
			for _, a := range list {
				if t := s.fence.targets[a.WithZone("")]; t != nil {
					if old := t.heard + i.conf.fenceWindow() + 1; old > now && old < s.fence.judge {
						s.fence.judge = old
					}
				}
			}
		}
		i.isolated = s.isolated(i, now)
		if i.faults[faultIsolated] = ""; i.isolated {
			i.faults[faultIsolated] = "this node is isolated: neither a witness nor enough of the other nodes answer"
		}
	}
}

// ask sends one round of requests.
func (s *Speaker) ask() {
	f := &s.fence
	f.seq++
	for _, t := range f.targets {
		if socket := f.sockets[family(t.addr.Is6())]; socket != nil {
			_ = socket.Send(t.addr, s.o.ID, f.seq) // no answer says the same as no request
		}
	}
}

// reached are those of the addresses that have answered of late.
func (s *Speaker) reached(i *instance, now time.Duration, list []netip.Addr) (reached []netip.Addr) {
	for _, a := range list {
		if s.reaches(i, now, a) {
			reached = append(reached, a)
		}
	}
	return reached
}

func (s *Speaker) reaches(i *instance, now time.Duration, a netip.Addr) bool {
	t := s.fence.targets[a.WithZone("")]
	return t != nil && now-t.heard <= i.conf.fenceWindow()
}

// isolated is the rule of [Instance.Quorum].
func (s *Speaker) isolated(i *instance, now time.Duration) bool {
	c := &i.conf
	if !c.fenced() {
		return false
	}
	for _, list := range [][]netip.Addr{c.Others, c.Witnesses} {
		for _, a := range list {
			if s.fence.sockets[family(a.Is6())] == nil {
				return false // nobody was asked
			}
		}
	}
	others := 0
	for _, a := range c.Others {
		if s.reaches(i, now, a) {
			others++
		}
	}
	if c.Quorum > 0 && others >= c.Quorum {
		return false
	}
	return !slices.ContainsFunc(c.Witnesses, func(a netip.Addr) bool { return s.reaches(i, now, a) })
}

// forgive puts all that was heard later by the time that this process slept: it could not hear.
func (f *fence) forgive(slept, now time.Duration) {
	for _, t := range f.targets {
		t.heard = min(t.heard+slept, now)
	}
}

func (f *fence) close() (err error) {
	for _, socket := range f.sockets {
		if socket != nil {
			err = errors.Join(err, socket.Close())
		}
	}
	return err
}
