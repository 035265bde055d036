package web

import (
	"bytes"
	"net/http"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"skein/config"
	"skein/pool"
	"skein/web/http1"
)

// table is all that one listening address knows of a configuration. It is never changed; a reload stores the next one, and
// every request asks for the newest, whichever connection it comes by.
//
// Finding a route costs the same however many there are: one map look-up for the host (plus one for each of its labels if
// wildcards exist), then one for each segment of the path, from the longest prefix to the shortest.
type table struct {
	settings *config.HTTP // of the listener; blocks that share it agree about these
	limits   http1.Limits
	trusted  []netip.Prefix
	proxies  []netip.Prefix // whose connections begin with a PROXY header
	h1, h2c  bool           // HTTP/1 is taken; HTTP/2 without TLS is
	exact    map[string]*site
	wild     map[string]*site // by what follows "*."
	any      *site
	sites    []*site
}

// site is one http block.
type site struct {
	cfg    *config.HTTP
	exact  map[string][]*route
	prefix map[string][]*route // by the path without, and below-only ones with, a final slash
	deep   int                 // length of the longest prefix
	other  *route              // the block itself; nil if it sends nothing anywhere
	plain  bool                // it only redirects to TLS
	always edits               // of answers that no route makes
	stats  *SiteStats
}

// route is one place to send requests.
type route struct {
	cfg      *config.Route
	pool     *pool.Pool
	dial     *dialer // to pool's members
	request  edits
	response edits
	strip    []byte
	methods  []string
	files    *files // nil is none
}

// newTables makes the tables of a configuration, one for each address.
func newTables(c *config.Config, set *pool.Set, dialers map[string]*dialer, stats func(site string) *SiteStats) map[string]*table {
	tables := map[string]*table{}
	for _, h := range c.HTTP {
		s := newSite(h, set, dialers)
		s.stats = stats(h.Name)
		for _, address := range h.Listen {
			tableAt(tables, address, h).add(s)
		}
		if len(h.Redirect) > 0 {
			s := newRedirect(h)
			s.stats = stats(h.Name)
			for _, address := range h.Redirect {
				tableAt(tables, address, h).add(s)
			}
		}
	}
	return tables
}

// tableAt returns the table of an address; h is the first block there is, which the others agree with about the listener.
func tableAt(tables map[string]*table, address string, h *config.HTTP) *table {
	t := tables[address]
	if t == nil {
		t = &table{settings: h, exact: map[string]*site{}, wild: map[string]*site{}}
		t.h2c = slices.Contains(h.Protocols, "h2c")
		t.h1 = len(h.Protocols) == 0 || slices.Contains(h.Protocols, "http/1.1")
		t.limits = http1.Limits{Target: h.Limits.URI, Fields: h.Limits.Fields}
		for _, p := range h.Trusted {
			t.trusted = append(t.trusted, prefix(p))
		}
		for _, p := range h.ProxyFrom {
			t.proxies = append(t.proxies, prefix(p))
		}
		tables[address] = t
	}
	return t
}

// add makes s known by its hosts.
func (t *table) add(s *site) {
	t.sites = append(t.sites, s)
	if len(s.cfg.Hosts) == 0 {
		t.any = s
	}
	for _, host := range s.cfg.Hosts {
		if below, ok := strings.CutPrefix(host, "*."); ok {
			t.wild[below] = s
		} else {
			t.exact[host] = s
		}
	}
}

// newRedirect makes the site that sends visitors of plain HTTP to where h is served over TLS.
func newRedirect(h *config.HTTP) *site {
	to := "https://{host}"
	if _, port, _ := strings.Cut(h.Listen[0][strings.LastIndexByte(h.Listen[0], ':'):], ":"); port != "443" && port != "0" {
		to += ":" + port
	}
	return &site{cfg: h, plain: true, other: &route{cfg: &config.Route{
		Pos: h.Pos, Path: "/", Redirect: &config.Redirect{To: to + "{uri}", Status: http.StatusPermanentRedirect},
	}}}
}

// prefix parses an address or a prefix that config has checked.
func prefix(s string) netip.Prefix {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked()
	}
	a, _ := netip.ParseAddr(s)
	return netip.PrefixFrom(a, a.BitLen())
}

func newSite(h *config.HTTP, set *pool.Set, dialers map[string]*dialer) *site {
	s := &site{cfg: h, exact: map[string][]*route{}, prefix: map[string][]*route{}}
	s.always.saysTLS(h)
	if h.Default.Pool != nil || h.Default.Redirect != nil || h.Default.Files != nil {
		s.other = newRoute(h, &h.Default, set, dialers)
	}
	for i := range h.Routes {
		r := newRoute(h, &h.Routes[i], set, dialers)
		if r.cfg.Exact {
			s.exact[r.cfg.Path] = append(s.exact[r.cfg.Path], r)
			continue
		}
		s.prefix[r.cfg.Path] = append(s.prefix[r.cfg.Path], r)
		s.deep = max(s.deep, len(r.cfg.Path))
	}
	for _, m := range []map[string][]*route{s.exact, s.prefix} {
		for _, rs := range m {
			// Those that name methods are asked before the one that takes all.
			sort.SliceStable(rs, func(i, j int) bool { return len(rs[i].methods) > 0 && len(rs[j].methods) == 0 })
		}
	}
	return s
}

func newRoute(h *config.HTTP, c *config.Route, set *pool.Set, dialers map[string]*dialer) *route {
	r := &route{cfg: c, methods: c.Methods, strip: []byte(c.Strip)}
	if c.Pool != nil {
		r.pool, r.dial = set.Pool(c.Pool.Name), dialers[c.Pool.Name]
	}
	r.files = newFiles(c.Files, c.Pool)
	r.request, r.response = newEdits(c.Request), newEdits(c.Response)
	r.response.saysTLS(h)
	return r
}

// saysTLS adds the fields that a block's settings put into every answer over TLS, unless e says something else.
func (e *edits) saysTLS(h *config.HTTP) {
	if h.TLS == nil {
		return // RFC 6797 section 7.2: never over plain HTTP
	}
	if h.HSTS.MaxAge > 0 {
		v := "max-age=" + strconv.FormatInt(int64(h.HSTS.MaxAge/time.Second), 10)
		if h.HSTS.Subdomains {
			v += "; includeSubDomains"
		}
		if h.HSTS.Preload {
			v += "; preload"
		}
		e.also("Strict-Transport-Security", v)
	}
	if _, port, ok := strings.Cut(h.Listen[0][strings.LastIndexByte(h.Listen[0], ':'):], ":"); ok && port != "0" && speaks3(h) { // else announce
		e.also("Alt-Svc", altSvc(port))
	}
}

// site finds the block for an authority; nil if none takes it.
func (t *table) site(authority []byte) *site {
	if len(t.exact) == 0 && len(t.wild) == 0 {
		return t.any
	}
	var low [256]byte
	host := hostOf(authority)
	if len(host) > len(low) {
		return t.any
	}
	n := copy(low[:], host)
	for i := range n {
		if 'A' <= low[i] && low[i] <= 'Z' {
			low[i] += 'a' - 'A'
		}
	}
	host = bytes.TrimSuffix(low[:n], []byte{'.'})
	if s := t.exact[string(host)]; s != nil {
		return s
	}
	if len(t.wild) > 0 {
		for {
			i := bytes.IndexByte(host, '.')
			if i < 0 {
				break
			}
			host = host[i+1:]
			if s := t.wild[string(host)]; s != nil {
				return s
			}
		}
	}
	return t.any
}

// hostOf takes the port off an authority.
func hostOf(authority []byte) []byte {
	i := bytes.LastIndexByte(authority, ':')
	if i < 0 || bytes.IndexByte(authority[i:], ']') >= 0 {
		return authority
	}
	return authority[:i]
}

// route finds where a request goes; nil with the methods that the path does take, if any.
func (s *site) route(method string, path []byte) (r *route, allow []string) {
	if len(s.exact) > 0 {
		if r, a := pick(s.exact[string(path)], method); r != nil {
			return r, nil
		} else if a != nil {
			allow = append(allow, a...)
		}
	}
	if len(s.prefix) > 0 {
		// "/api" takes /api and all below it, "/api/" only what is below. From the longest prefix to the shortest.
		for i := min(len(path), s.deep); i > 0; i-- {
			end := i == len(path)
			if path[i-1] != '/' && !end && path[i] != '/' {
				continue // in the middle of a segment
			}
			r, a := pick(s.prefix[string(path[:i])], method)
			if r != nil {
				return r, nil
			}
			allow = append(allow, a...)
		}
	}
	if s.other != nil {
		return s.other, nil
	}
	slices.Sort(allow)
	return nil, slices.Compact(allow)
}

// pick returns the first route that takes method, or the methods that would have been taken.
func pick(rs []*route, method string) (*route, []string) {
	var allow []string
	for _, r := range rs {
		if len(r.methods) == 0 || slices.Contains(r.methods, method) {
			return r, nil
		}
		allow = append(allow, r.methods...)
	}
	return nil, allow
}

// trusts reports whether a peer's X-Forwarded-* and Forwarded are believed.
func (t *table) trusts(a netip.Addr) bool { return within(t.trusted, a) }

func within(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
