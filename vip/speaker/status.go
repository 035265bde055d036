package speaker

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"skein/vip/vrrp"
)

// report describes the speaker to its parent.
func (s *Speaker) report(now time.Duration) {
	status := &Status{Realtime: s.o.Realtime, Beat: s.beatSerial, Instances: []InstanceStatus{}}
	for _, i := range s.instances {
		status.Instances = append(status.Instances, s.describe(i, now))
	}
	s.reports.send(Report{Status: status})
}

func (s *Speaker) describe(i *instance, now time.Duration) InstanceStatus {
	d := InstanceStatus{
		VIP: i.key.vip, Family: i.key.family, Interface: i.where(),
		State: i.machine.State(), Reason: i.machine.Reason(), Priority: i.machine.Priority(), Master: i.machine.Master(),
		Held: i.held(), Isolated: i.isolated, Counters: i.machine.Counters(), Late: i.late.clone(), Unsent: i.unsentCount,
	}
	if since := i.machine.Since(); since > 0 {
		d.Since = time.Now().Add(since - now).Round(time.Millisecond)
	}
	if i.conf.fenced() {
		d.Reached = slices.DeleteFunc(s.reached(i, now, i.conf.targets()), func(a netip.Addr) bool {
			return !s.fence.targets[a.WithZone("")].answered
		})
	}
	return d
}

// levelOf is how loud a transition is told.
func levelOf(to vrrp.State) slog.Level {
	if to == vrrp.Fault {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
