package admin

import (
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"skein/pool"
)

// What Prometheus reads is made when it is read: every counter lives where the work is done, and nothing is kept twice.

// metrics answers scrapes, from a registry of its own: the library's global one would show whatever else is linked in.
func (a *Admin) metrics() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(a, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{Timeout: 10 * time.Second, MaxRequestsInFlight: 4})
}

// families are all metrics with their values now.
func (a *Admin) families() []*family {
	f := a.configFamilies()
	f = append(f, a.poolFamilies()...)
	f = append(f, a.webFamilies()...)
	f = append(f, a.certificateFamilies()...)
	return append(f, a.vipFamilies()...)
}

func (a *Admin) configFamilies() []*family {
	c, _ := a.sources.Live()
	r := a.sources.LastReload()
	build := gauge("skein_build_info", "The program.", "version", "go")
	build.add(1, a.sources.Version, runtime.Version())
	serving := gauge("skein_serving", "1 while this node takes visitors.")
	serving.add(truth(a.sources.Serving() == nil))
	hash := gauge("skein_config_hash", "The configuration in force; the value is always 1.", "hash", "file")
	hash.add(1, c.Hash, c.File)
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
		queued   = gauge("skein_pool_queued", "Requests that wait for a member with room.", "pool")
		panicked = gauge("skein_pool_panic", "1 while so few members are healthy that health is ignored.", "pool")
		spilled  = gauge("skein_pool_spilled", "1 while members of other regions help out.", "pool")
		inUse    = gauge("skein_pool_member_in_use", "1 while new work may be given to the member.", "pool", "server", "address")
		reasons  = gauge("skein_pool_member_reason", "1 for each reason not to use the member.", "pool", "server", "address", "reason")
		weight   = gauge("skein_pool_member_weight", "Effective weight, slow start included.", "pool", "server", "address")
		active   = gauge("skein_pool_member_active", "Work in progress.", "pool", "server", "address")
		latency  = counter("skein_pool_member_answer_seconds", "From the request sent until the head of the answer.", "pool", "server", "address")
		answers  = counter("skein_pool_member_answers_total", "Answers by class of status.", "pool", "server", "address", "class")
	)
	counters := []struct {
		f    *family
		read func(*pool.Stats) uint64
	}{
		{counter("skein_pool_member_requests_total", "Times chosen, tries included.", "pool", "server", "address"), func(s *pool.Stats) uint64 { return s.Picked.Load() }},
		{counter("skein_pool_member_connects_total", "Connections opened.", "pool", "server", "address"), func(s *pool.Stats) uint64 { return s.Connects.Load() }},
		{counter("skein_pool_member_connect_errors_total", "Connections that failed.", "pool", "server", "address"), func(s *pool.Stats) uint64 { return s.ConnectErrors.Load() }},
		{counter("skein_pool_member_errors_total", "Time-outs, broken and missing answers.", "pool", "server", "address"), func(s *pool.Stats) uint64 { return s.Errors.Load() }},
		{counter("skein_pool_member_retried_total", "Work taken away and given to another member.", "pool", "server", "address"), func(s *pool.Stats) uint64 { return s.Retried.Load() }},
		{counter("skein_pool_member_sent_bytes_total", "Bytes to the member.", "pool", "server", "address"), func(s *pool.Stats) uint64 { return s.Sent.Load() }},
		{counter("skein_pool_member_received_bytes_total", "Bytes from the member.", "pool", "server", "address"), func(s *pool.Stats) uint64 { return s.Received.Load() }},
		{counter("skein_pool_member_checks_total", "Active checks.", "pool", "server", "address"), func(s *pool.Stats) uint64 { return s.Checks.Load() }},
		{counter("skein_pool_member_checks_failed_total", "Active checks that failed.", "pool", "server", "address"), func(s *pool.Stats) uint64 { return s.ChecksFailed.Load() }},
		{counter("skein_pool_member_ejections_total", "Removals after real errors.", "pool", "server", "address"), func(s *pool.Stats) uint64 { return s.Ejections.Load() }},
	}
	_, set := a.sources.Live()
	for _, p := range set.Pools() {
		queued.add(float64(p.Queued()), p.Name)
		panicked.add(truth(p.Panicking()), p.Name)
		spilled.add(truth(p.Spilled()), p.Name)
		for _, m := range p.States() {
			labels := []string{p.Name, m.Server, m.Address}
			with := func(more ...string) []string { return append(labels[:len(labels):len(labels)], more...) }
			inUse.add(truth(m.InUse), labels...)
			weight.add(float64(m.Effective)/100, labels...)
			active.add(float64(m.Active()), labels...)
			for _, r := range []pool.Reason{pool.Unhealthy, pool.Ejected, pool.Drained} {
				reasons.add(truth(m.Reasons()&r != 0), with(r.String())...)
			}
			for class := 1; class < len(m.Stats.Answers); class++ {
				answers.add(float64(m.Stats.Answers[class].Load()), with(strconv.Itoa(class)+"xx")...)
			}
			for _, c := range counters {
				c.f.add(float64(c.read(&m.Stats)), labels...)
			}
			count, sum, cumulative := m.Stats.Seconds.Read()
			buckets := make(map[float64]uint64, len(cumulative))
			for i, n := range cumulative {
				buckets[pool.Bounds[i].Seconds()] = n
			}
			latency.addHistogram(count, sum, buckets, labels...)
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
	ended := counter("skein_http_ended_total", "Requests by how they ended.", "cause")
	for _, cause := range sorted(t.Causes) {
		ended.add(float64(t.Causes[cause]), cause)
	}
	open := gauge("skein_http_listener_connections", "Open connections by listening address.", "address")
	for _, l := range listeners {
		open.add(float64(l.Connections), l.Address)
	}
	answers := counter("skein_http_site_answers_total", "Answers to visitors by http block and class of status.", "site", "class")
	sent := counter("skein_http_site_sent_bytes_total", "Bytes of bodies to visitors.", "site")
	received := counter("skein_http_site_received_bytes_total", "Bytes of bodies from visitors.", "site")
	for _, s := range t.Sites {
		for _, class := range sorted(s.Answers) {
			answers.add(float64(s.Answers[class]), s.Name, class)
		}
		sent.add(float64(s.Sent), s.Name)
		received.add(float64(s.Received), s.Name)
	}
	one(counter("skein_http_script_errors_total", "Requests whose FastCGI script wrote to its standard error."), float64(t.ScriptErrors))
	one(counter("skein_http_tls_handshakes_total", "TLS handshakes with visitors that were completed, over TCP and QUIC."), float64(t.Handshakes))
	one(counter("skein_http_tls_resumed_total", "Handshakes that a session ticket made short."), float64(t.Resumed))
	one(counter("skein_http_tls_handshake_errors_total", "Handshakes that were not completed."), float64(t.HandshakeErrors))
	one(counter("skein_http_proxy_protocol_errors_total", "Connections without the PROXY header that they should begin with."), float64(t.ProxyErrors))
	events := counter("skein_http_protocol_events_total", "What happened in HTTP/2 (h2) and HTTP/3 (h3): streams, resets, offences, and connections that were cut (cut_...).", "protocol", "event")
	for _, protocol := range slices.Sorted(maps.Keys(t.Protocols)) {
		for _, event := range sorted(t.Protocols[protocol]) {
			events.add(float64(t.Protocols[protocol][event]), protocol, event)
		}
	}
	return append(f, ended, open, answers, sent, received, events)
}

func (a *Admin) certificateFamilies() []*family {
	expires := gauge("skein_certificate_expiry_timestamp_seconds", "When the certificate expires; 0 while there is none.", "names", "source")
	failing := gauge("skein_certificate_failing", "1 while the last attempt to replace the certificate has failed.", "names", "source")
	for _, c := range a.sources.Certificates() {
		labels := []string{strings.Join(c.Names, ","), c.Source}
		at := 0.0
		if c.NotAfter != nil {
			at = float64(c.NotAfter.Unix())
		}
		expires.add(at, labels...)
		failing.add(truth(c.Error != ""), slices.Clone(labels)...)
	}
	return []*family{expires, failing}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
