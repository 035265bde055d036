package engine

import (
	"maps"
	"net/netip"

	"skein/admin"
	"skein/vip"
	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// vipsOf says in admin's words what vip knows.
func vipsOf(s vip.Status) admin.VIPs {
	if len(s.VIPs) == 0 {
		return admin.VIPs{}
	}
	a := admin.VIPs{Speaker: &admin.Speaker{
		PID: s.Speaker.PID, Restarts: s.Speaker.Restarts, Realtime: s.Speaker.Realtime, Error: s.Speaker.Error,
		Beats: s.Speaker.Beats, BeatsLate: s.Speaker.BeatsLate, BeatMax: s.Speaker.BeatMax.Seconds(),
	}}
	for _, v := range s.VIPs {
		a.VIPs = append(a.VIPs, vipOf(v))
	}
	return a
}

func vipOf(v vip.VIPStatus) admin.VIP {
	d := admin.VIP{
		Name: v.Name, Group: v.Group, Addresses: prefixes(v.Addresses), Interface: v.Interface,
		RouterID: v.RouterID, Version: v.Version, Interval: v.Interval.Seconds(),
		State: string(v.State), Reason: v.Reason, Since: v.Since, Priority: int(v.Priority), Master: v.Master, Isolated: v.Isolated,
		Fitness: string(v.Fitness), Unfit: v.FitnessReason, Handovers: map[string]uint64{},
		Nodes: []admin.VIPNode{}, Families: []admin.VIPFamily{}, Transitions: []admin.VIPTransition{}, Checks: []admin.VIPCheck{},
	}
	// All of them: a counter that begins to exist when it first rises has no rise to be seen.
	for _, result := range []string{vip.HandoverClean, vip.HandoverCut, vip.HandoverCancelled, vip.HandoverFailed} {
		d.Handovers[result] = v.Handovers[result]
	}
	for _, n := range v.Nodes {
		d.Nodes = append(d.Nodes, admin.VIPNode{Name: n.Name, Host: n.Host, Priority: n.Priority, Self: n.Self})
	}
	for _, f := range v.Families {
		d.Families = append(d.Families, familyOf(f))
	}
	for _, t := range v.Transitions {
		d.Transitions = append(d.Transitions, admin.VIPTransition{Time: t.Time, Family: t.Family, From: string(t.From), To: string(t.To), Reason: t.Reason})
	}
	for _, c := range v.Checks {
		d.Checks = append(d.Checks, admin.VIPCheck{
			Name: c.Name, OK: c.Good, Known: c.Known, Time: c.Last, Duration: c.Took.Seconds(), Error: c.Error, Streak: c.Streak,
		})
	}
	if n := v.Notify; n != nil {
		d.Notify = &admin.VIPNotify{
			Running: n.Running, State: string(n.State), Time: n.Last, Duration: n.Took.Seconds(), Error: n.Error,
			Runs: n.Runs, Failed: n.Failed, Skipped: n.Skipped,
		}
	}
	if h := v.Handover; h != nil {
		d.Handover = &admin.VIPHandover{
			Running: h.Running, Step: h.Step, Began: h.Began, Duration: h.Took.Seconds(), Reason: h.Reason, Left: h.Left, Result: h.Result,
		}
	}
	return d
}

func familyOf(f vip.FamilyStatus) admin.VIPFamily {
	d := admin.VIPFamily{
		Family: f.Family, Source: f.Source, Unicast: f.Unicast, State: string(f.State), Reason: f.Reason, Since: f.Since,
		Priority: int(f.Priority), Master: f.Master, Isolated: f.Isolated, Addresses: prefixes(f.Addresses), Held: prefixes(f.Held),
		Reached: append([]netip.Addr{}, f.Reached...), Became: map[string]uint64{},
		Sent: f.Counters.Sent, SentZero: f.Counters.SentZero, Received: f.Counters.Received, ReceivedZero: f.Counters.ReceivedZero,
		Refused: maps.Clone(f.Counters.Refused), MastersBeside: f.Counters.MastersBeside, Slept: f.Counters.Slept, Late: histogramOf(f.Late),
	}
	if d.Refused == nil {
		d.Refused = map[string]uint64{}
	}
	for _, to := range []vrrp.State{vrrp.Master, vrrp.Backup, vrrp.Fault} {
		d.Became[string(to)] = f.Became[to]
	}
	return d
}

func histogramOf(l speaker.Late) admin.Histogram {
	h := admin.Histogram{Bounds: []float64{}, Counts: append([]uint64{}, l.Counts...), Sum: l.Sum.Seconds(), Max: l.Max.Seconds()}
	for _, b := range l.Bounds {
		h.Bounds = append(h.Bounds, b.Seconds())
	}
	return h
}

// prefixes is a list that is [] in JSON if it is empty.
func prefixes(p []netip.Prefix) []netip.Prefix { return append([]netip.Prefix{}, p...) }
