package admin

import (
	"net/http"
	"runtime"
	"strconv"

	"skein/pool"
)

// What Prometheus reads is made when it is read: every counter lives where the work is done, and nothing is kept twice.

// metrics answers a scrape.
func (a *Admin) metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", expositionType)
		_, _ = w.Write(expose(a.families())) // the scraper has gone
	})
}

// families are all metrics with their values now.
func (a *Admin) families() []*family {
	f := a.configFamilies()
	f = append(f, a.poolFamilies()...)
	f = append(f, a.webFamilies()...)
	return append(f, processFamilies()...)
}

func (a *Admin) configFamilies() []*family {
	c, _ := a.sources.Live()
	r := a.sources.LastReload()
	build := gauge("skein_build_info", "The program.")
	build.add(1, "version", a.sources.Version, "go", runtime.Version())
	serving := gauge("skein_serving", "1 while this node takes visitors.")
	serving.add(truth(a.sources.Serving() == nil))
	hash := gauge("skein_config_hash", "The configuration in force; the value is always 1.")
	hash.add(1, "hash", c.Hash, "file", c.File)
	ok := gauge("skein_config_last_reload_successful", "1 if the file was right when it was last read.")
	ok.add(truth(r.OK))
	when := gauge("skein_config_last_reload_timestamp_seconds", "When the file was last read.")
	when.add(float64(r.Time.UnixNano()) / 1e9)
	drains := gauge("skein_cluster_drains", "Drains that stand.")
	drains.add(float64(len(a.sources.Drains.List())))
	return []*family{build, serving, hash, ok, when, drains}
}

func (a *Admin) poolFamilies() []*family {
	var (
		queued   = gauge("skein_pool_queued", "Requests that wait for a member with room.")
		panicked = gauge("skein_pool_panic", "1 while so few members are healthy that health is ignored.")
		spilled  = gauge("skein_pool_spilled", "1 while members of other regions help out.")
		inUse    = gauge("skein_pool_member_in_use", "1 while new work may be given to the member.")
		reasons  = gauge("skein_pool_member_reason", "1 for each reason not to use the member.")
		weight   = gauge("skein_pool_member_weight", "Effective weight, slow start included.")
		active   = gauge("skein_pool_member_active", "Work in progress.")
		latency  = newFamily("histogram", "skein_pool_member_answer_seconds", "From the request sent until the head of the answer.")
		answers  = counter("skein_pool_member_answers_total", "Answers by class of status.")
	)
	counters := []struct {
		f    *family
		read func(*pool.Stats) uint64
	}{
		{counter("skein_pool_member_requests_total", "Times chosen, tries included."), func(s *pool.Stats) uint64 { return s.Picked.Load() }},
		{counter("skein_pool_member_connects_total", "Connections opened."), func(s *pool.Stats) uint64 { return s.Connects.Load() }},
		{counter("skein_pool_member_connect_errors_total", "Connections that failed."), func(s *pool.Stats) uint64 { return s.ConnectErrors.Load() }},
		{counter("skein_pool_member_errors_total", "Time-outs, broken and missing answers."), func(s *pool.Stats) uint64 { return s.Errors.Load() }},
		{counter("skein_pool_member_retried_total", "Work taken away and given to another member."), func(s *pool.Stats) uint64 { return s.Retried.Load() }},
		{counter("skein_pool_member_sent_bytes_total", "Bytes to the member."), func(s *pool.Stats) uint64 { return s.Sent.Load() }},
		{counter("skein_pool_member_received_bytes_total", "Bytes from the member."), func(s *pool.Stats) uint64 { return s.Received.Load() }},
		{counter("skein_pool_member_checks_total", "Active checks."), func(s *pool.Stats) uint64 { return s.Checks.Load() }},
		{counter("skein_pool_member_checks_failed_total", "Active checks that failed."), func(s *pool.Stats) uint64 { return s.ChecksFailed.Load() }},
		{counter("skein_pool_member_ejections_total", "Removals after real errors."), func(s *pool.Stats) uint64 { return s.Ejections.Load() }},
	}
	_, set := a.sources.Live()
	for _, p := range set.Pools() {
		queued.add(float64(p.Queued()), "pool", p.Name)
		panicked.add(truth(p.Panicking()), "pool", p.Name)
		spilled.add(truth(p.Spilled()), "pool", p.Name)
		for _, m := range p.States() {
			labels := []string{"pool", p.Name, "server", m.Server, "address", m.Address}
			with := func(more ...string) []string { return append(labels[:len(labels):len(labels)], more...) }
			inUse.add(truth(m.InUse), labels...)
			weight.add(float64(m.Effective)/100, labels...)
			active.add(float64(m.Active()), labels...)
			for _, r := range []pool.Reason{pool.Unhealthy, pool.Ejected, pool.Drained} {
				reasons.add(truth(m.Reasons()&r != 0), with("reason", r.String())...)
			}
			for class := 1; class < len(m.Stats.Answers); class++ {
				answers.add(float64(m.Stats.Answers[class].Load()), with("class", strconv.Itoa(class)+"xx")...)
			}
			for _, c := range counters {
				c.f.add(float64(c.read(&m.Stats)), labels...)
			}
			count, sum, cumulative := m.Stats.Seconds.Read()
			for i, n := range cumulative {
				latency.addAs("_bucket", float64(n), with("le", number(pool.Bounds[i].Seconds()))...)
			}
			latency.addAs("_bucket", float64(count), with("le", "+Inf")...)
			latency.addAs("_sum", sum.Seconds(), labels...)
			latency.addAs("_count", float64(count), labels...)
		}
	}
	f := []*family{queued, panicked, spilled, inUse, reasons, weight, active, answers, latency}
	for _, c := range counters {
		f = append(f, c.f)
	}
	return f
}

func (a *Admin) webFamilies() []*family {
	t, listeners := a.sources.Traffic()
	var f []*family
	one := func(g *family, v float64) {
		g.add(v)
		f = append(f, g)
	}
	one(gauge("skein_http_connections", "Open connections of visitors."), float64(t.Connections))
	one(gauge("skein_http_active", "Requests being answered."), float64(t.Active))
	one(gauge("skein_http_tunnels", "Upgraded connections."), float64(t.Tunnels))
	one(counter("skein_http_connections_total", "Connections accepted."), float64(t.Accepted))
	one(counter("skein_http_connections_refused_total", "Connections over a limit."), float64(t.Refused))
	one(counter("skein_http_requests_total", "Requests."), float64(t.Requests))
	one(counter("skein_http_retries_total", "Second tries."), float64(t.Retries))
	one(counter("skein_http_log_dropped_total", "Lines of the access log that the disk was too slow for."), float64(t.LogDropped))
	ended := counter("skein_http_ended_total", "Requests by how they ended.")
	for _, cause := range sorted(t.Causes) {
		ended.add(float64(t.Causes[cause]), "cause", cause)
	}
	open := gauge("skein_http_listener_connections", "Open connections by listening address.")
	for _, l := range listeners {
		open.add(float64(l.Connections), "address", l.Address)
	}
	answers := counter("skein_http_site_answers_total", "Answers to visitors by http block and class of status.")
	sent := counter("skein_http_site_sent_bytes_total", "Bytes of bodies to visitors.")
	received := counter("skein_http_site_received_bytes_total", "Bytes of bodies from visitors.")
	for _, s := range t.Sites {
		for _, class := range sorted(s.Answers) {
			answers.add(float64(s.Answers[class]), "site", s.Name, "class", class)
		}
		sent.add(float64(s.Sent), "site", s.Name)
		received.add(float64(s.Received), "site", s.Name)
	}
	return append(f, ended, open, answers, sent, received)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
