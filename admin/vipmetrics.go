package admin

import (
	"strconv"
	"time"
)

// vipStates are all states of a virtual router.
func vipStates() []string { return []string{"init", "backup", StateMaster, "fault"} }

// vipFamilies are the metrics of virtual addresses.
func (a *Admin) vipFamilies() []*family {
	var (
		state       = gauge("skein_vip_state", "1 for the state that this node is in: init, backup, master or fault.", "vip", "family", "state")
		priority    = gauge("skein_vip_priority", "What this node advertises, or would.", "vip", "family")
		transitions = counter("skein_vip_transitions_total", "Changes of state, by the new one.", "vip", "family", "to")
		sent        = counter("skein_vip_adverts_sent_total", "Advertisements sent.", "vip", "family")
		received    = counter("skein_vip_adverts_received_total", "Valid advertisements received.", "vip", "family")
		refused     = counter("skein_vip_adverts_refused_total", "Advertisements that were not taken.", "vip", "family", "reason")
		late        = counter("skein_vip_advert_late_seconds", "How late advertisements have left.", "vip", "family")
		isolated    = gauge("skein_vip_isolated", "1 while this node is cut off from the other nodes and the witnesses.", "vip")
		fit         = gauge("skein_vip_fit", "1 while this node is fit to own the addresses.", "vip")
		handovers   = counter("skein_vip_handovers_total", "Planned handovers by how they ended.", "vip", "result")
		restarts    = counter("skein_vip_speaker_restarts_total", "Times that the speaker had to be replaced.")
		realtime    = gauge("skein_vip_speaker_realtime", "1 while the speaker has real-time priority.")
	)
	all := a.sources.VIPs()
	for _, v := range all.VIPs {
		isolated.add(truth(v.Isolated), v.Name)
		fit.add(truth(v.Fitness == "fit"), v.Name)
		for _, result := range sorted(v.Handovers) {
			handovers.add(float64(v.Handovers[result]), v.Name, result)
		}
		for _, f := range v.Families {
			labels := func(more ...string) []string {
				return append([]string{v.Name, "ipv" + strconv.Itoa(f.Family)}, more...)
			}
			for _, s := range vipStates() {
				state.add(truth(f.State == s), labels(s)...)
			}
			priority.add(float64(f.Priority), labels()...)
			for _, to := range sorted(f.Became) {
				transitions.add(float64(f.Became[to]), labels(to)...)
			}
			sent.add(float64(f.Sent), labels()...)
			received.add(float64(f.Received), labels()...)
			for _, reason := range sorted(f.Refused) {
				refused.add(float64(f.Refused[reason]), labels(reason)...)
			}
			count, sum, buckets := f.Late.cumulative()
			late.addHistogram(count, sum, buckets, labels()...)
		}
	}
	if s := all.Speaker; s != nil {
		restarts.add(float64(s.Restarts))
		realtime.add(truth(s.Realtime))
	}
	return []*family{state, priority, transitions, sent, received, refused, late, isolated, fit, handovers, restarts, realtime}
}

// cumulative is h as Prometheus counts: each bucket has those below it, too.
func (h Histogram) cumulative() (count uint64, sum time.Duration, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, len(h.Bounds))
	for i, n := range h.Counts {
		count += n
		if i < len(h.Bounds) {
			buckets[h.Bounds[i]] = count
		}
	}
	return count, time.Duration(h.Sum * float64(time.Second)), buckets
}
