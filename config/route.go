package config

import (
	"slices"
	"strings"
	"time"
)

// Route sends some requests of an http block somewhere. Settings that it does not name are its block's; they are filled
// in here, so that a reader of a Route need not look at the block.
//
// Which route takes a request:
//
//   - "/api" takes /api and everything below it: /api, /api/, /api/x, but not /apix.
//   - "/api/" takes everything below: /api/, /api/x, but not /api.
//   - With exact, "/api" takes only /api.
//   - The longest path wins; of two with the same path the exact one, then the one with methods.
//   - A route with methods does not see requests with others: the next one that fits takes them.
//   - What no route takes, the block's Default does.
type Route struct {
	Pos      Pos
	Path     string   // "/api": this path and those below it; "/api/": those below it; "/" everything
	Exact    bool     // this path only
	Methods  []string // empty is every method
	Pool     *Pool    // nil with a redirect, with files alone, and in Default when only routes have pools
	Redirect *Redirect
	Strip    string      // this prefix is taken off the path before the request is sent on
	Request  HeaderEdits // the block's edits and then the route's, in one
	Response HeaderEdits
	MaxBody  int64 // bytes; 0 is unlimited
	Timeouts *RouteTimeouts
	Files    *Files    // nil is none; a route without a pool of its own has its block's
	Compress *Compress // nil is off
}

// RouteTimeouts override the pool's for one route; zero keeps.
type RouteTimeouts struct {
	FirstByte time.Duration
	Idle      time.Duration
}

// Redirect answers without a member.
type Redirect struct {
	To     string // may hold {scheme} {host} {path} {query} {uri}
	Status int    // 301, 302, 303, 307 or 308
}

func routeBlocks() []Block {
	return []Block{
		{Path: "http.route", Label: "path", Blocks: []string{"files", "compress", "request_headers", "response_headers", "timeouts"}, Keys: []Key{
			{"exact", "bool", "false", "Take this path only, not those below it."},
			{"methods", "text or list", "[]", "Take these methods only; without it every method."},
			{"pool", "reference", "", "The pool that requests go to; without it and without `redirect` the block's."},
			{"redirect", "text", "", "Answer with this place instead: a URL or path with `{scheme}`, `{host}`, `{path}`, `{query}` and `{uri}` (path and query)."},
			{"status", "number", "308", "Status of the redirect: 301, 302, 303, 307 or 308."},
			{"strip", "text", "", "Take this prefix off the path before the request is sent on."},
			{"max_body", "size", "", "Largest body of a request; 0 is unlimited. Without it the block's."},
		}},
		filesBlock("http.route.files"),
		compressBlock("http.route.compress"),
		headersBlock("http.route.request_headers", "the request before it is sent on"),
		headersBlock("http.route.response_headers", "the answer before it is sent back"),
		{Path: "http.route.timeouts", Keys: []Key{
			{"first_byte", "time", "", "As the pool's; without it the pool's is used."},
			{"idle", "time", "", "As the pool's; without it the pool's is used."},
		}},
	}
}

// readRoutes reads the routes of a block and checks that no two take the same requests.
func (d *decoder) readRoutes(b *block, h *HTTP, here bool) []Route {
	type shape struct {
		path  string
		exact bool
	}
	taken := map[shape][]*Route{}
	blocks := b.all("route")
	routes := make([]Route, 0, len(blocks))
	for _, rb := range blocks {
		if problem := badPath(rb.label); problem != "" {
			d.fail(rb.labelAt, "Not a path", "%q cannot be the path of a route: %s.", shorten(rb.label), problem)
		}
		r := d.readRoute(rb, h, b, here)
		routes = append(routes, r)
		p := &routes[len(routes)-1]
		s := shape{p.Path, p.Exact}
		for _, other := range taken[s] {
			if both := overlap(p.Methods, other.Methods); both != "" {
				d.fail(rb.labelAt, "Route written twice", "The route on line %d already takes %s %s. Give them different methods, or put them into one.",
					other.Pos.Line, both, shorten(p.Path))
				break
			}
		}
		taken[s] = append(taken[s], p)
	}
	if len(routes) == 0 {
		return nil
	}
	return routes
}

// overlap returns a method that both take, or "" if there is none. A route with methods stands before one without, so
// these two do not clash.
func overlap(a, b []string) string {
	switch {
	case len(a) == 0 && len(b) == 0:
		return "every method of"
	case len(a) == 0 || len(b) == 0:
		return ""
	}
	for _, m := range a {
		if slices.Contains(b, m) {
			return m
		}
	}
	return ""
}

func (d *decoder) readRoute(b *block, h *HTTP, site *block, here bool) Route {
	r := Route{
		Pos:      b.pos(),
		Path:     b.label,
		Exact:    b.flag("exact", false),
		Methods:  d.methods(b.body),
		Redirect: d.readRedirect(b),
		Strip:    d.strip(b),
		MaxBody:  b.size("max_body", h.Default.MaxBody, 0, 1<<50),
		Request:  h.Default.Request.then(d.readHeaders(b.one("request_headers"), true)),
		Response: h.Default.Response.then(d.readHeaders(b.one("response_headers"), false)),
		Files:    d.readFiles(b.one("files")),
		Compress: d.readCompress(b.one("compress"), h.Default.Compress),
	}
	if t := b.one("timeouts"); t != nil {
		r.Timeouts = &RouteTimeouts{
			FirstByte: t.time("first_byte", 0, time.Millisecond, 24*time.Hour),
			Idle:      t.time("idle", 0, time.Millisecond, 24*time.Hour),
		}
	}
	switch {
	case b.has("redirect"):
		for _, key := range []string{"pool", "strip", "max_body"} {
			if b.has(key) {
				d.fail(b.nameAt(key), "Key without effect", "A redirect is answered here and goes to no pool, so %s does nothing. Leave one of them out.", key)
			}
		}
		for _, kind := range []string{"files", "compress", "request_headers", "timeouts"} {
			if c := b.one(kind); c != nil {
				d.fail(c.labelAt, "Block without effect", "A redirect is answered here and goes to no pool, so %s does nothing.", kind)
			}
		}
		if b.has("pool") {
			d.poolOf(b.body, here)
		}
		r.Files, r.Compress = nil, nil
		return r
	case b.has("pool"):
		r.Pool = d.poolOf(b.body, here)
	default:
		// The block's files belong to its pool: a route that sends requests elsewhere has none of them.
		r.Pool = h.Default.Pool
		if r.Files == nil {
			r.Files = h.Default.Files
		}
		if r.Files == nil && !site.has("pool") && !site.has("servers") {
			d.fail(b.labelAt, "Nowhere to send requests", "The route has neither pool nor redirect nor files, and %s has no pool either.", site.title())
		}
	}
	d.sends = append(d.sends, sender{r.Pool, r.Files, b.one("files"), b.title(), b.labelAt})
	return r
}

func (d *decoder) methods(b *body) []string {
	var out []string
	items := b.texts("methods")
	if b.has("methods") && b.value("methods").kind == list && len(b.value("methods").items) == 0 {
		d.fail(b.where("methods"), "Empty list", "Leave methods out to take every method.")
	}
	for _, v := range items {
		switch {
		case !isToken(v.text):
			d.fail(v.at, "Not a method", "%s is not the name of a method, such as \"GET\".", v.show())
		case v.text != strings.ToUpper(v.text):
			d.fail(v.at, "Not a method", "Methods are in capital letters. Did you mean %q?", strings.ToUpper(v.text))
		case slices.Contains(out, v.text):
			d.fail(v.at, "Listed twice", "%s is already in the list.", v.show())
		default:
			out = append(out, v.text)
		}
	}
	return out
}

func (d *decoder) readRedirect(b *block) *Redirect {
	if !b.has("redirect") {
		if b.has("status") {
			d.fail(b.nameAt("status"), "Key without effect", "status is the status of a redirect, and the route has none.")
		}
		return nil
	}
	r := &Redirect{To: b.str("redirect", "/"), Status: b.count("status", 308, 100, 999)}
	if !slices.Contains([]int{301, 302, 303, 307, 308}, r.Status) {
		d.fail(b.where("status"), "Not a redirect", "status is 301, 302, 303, 307 or 308, not %d.", r.Status)
	}
	if problem := badRedirect(r.To); problem != "" {
		d.fail(b.where("redirect"), "Not a place to redirect to", "%q: %s", shorten(r.To), sentence(problem))
	}
	return r
}

func badRedirect(s string) string {
	if !isPrintable(s) || strings.ContainsAny(s, " \"<>\\^`|") {
		return "a URL has visible ASCII characters without spaces; write others in percent form"
	}
	known := []string{"scheme", "host", "path", "query", "uri"}
	for rest := s; ; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			break
		}
		name, after, ok := strings.Cut(rest[i+1:], "}")
		if rest[i] == '}' || !ok {
			return "a brace is not closed or not opened"
		}
		if !slices.Contains(known, name) {
			if near := nearest(name, known); near != "" {
				return "there is no {" + name + "}; did you mean {" + near + "}?"
			}
			return "there is no {" + name + "}; there are {scheme}, {host}, {path}, {query} and {uri}"
		}
		rest = after
	}
	lower := strings.ToLower(s)
	for _, p := range []string{"https://", "http://", "{scheme}://"} {
		if rest, ok := strings.CutPrefix(lower, p); ok {
			if rest == "" || rest[0] == '/' {
				return "the host is missing"
			}
			return ""
		}
	}
	if strings.HasPrefix(s, "//") {
		return "browsers take what follows two slashes for a host; write https:// in front"
	}
	if strings.HasPrefix(s, "/") || strings.HasPrefix(s, "{path}") || strings.HasPrefix(s, "{uri}") {
		return ""
	}
	return "a place begins with https://, http:// or /"
}

// strip reads the prefix to take off. It ends where a part of the route's path ends.
func (d *decoder) strip(b *block) string {
	if !b.has("strip") {
		return ""
	}
	v := b.value("strip")
	s := b.str("strip", "")
	if v.kind != text || v.secret {
		return ""
	}
	s = strings.TrimRight(s, "/")
	if s == "" {
		d.fail(v.at, "Not a path", "%s: there is nothing to take off. Leave strip out to keep the path.", v.show())
		return ""
	}
	if problem := badPath(s); problem != "" {
		d.fail(v.at, "Not a path", "%s: %s.", v.show(), problem)
		return ""
	}
	path := strings.TrimRight(b.label, "/")
	if path != s && !strings.HasPrefix(path, s+"/") {
		d.fail(v.at, "Prefix does not fit", "strip is a beginning of the route's own path %q, up to a slash. %s is not.", shorten(b.label), v.show())
	}
	return s
}

// badPath says why a path cannot be matched. Requests are matched in normal form, so another form would never match.
func badPath(s string) string {
	switch {
	case s == "" || s[0] != '/':
		return "a path begins with /"
	case strings.Contains(s, "//"):
		return "it has two slashes in a row"
	case len(s) > 4096:
		return "it is longer than 4096 characters"
	}
	for part := range strings.SplitSeq(s[1:], "/") {
		if part == "." || part == ".." {
			return `it has a part "` + part + `"; write where it leads`
		}
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '?':
			return "the query is no part of the path"
		case c == '#':
			return "the fragment is never sent to a server"
		case c == '*':
			return `a star has no meaning here: "/api/" takes everything below it`
		case c == '%':
			if problem := badEscape(s[i:]); problem != "" {
				return problem
			}
		case c <= 0x20 || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0:
			return "a path is visible ASCII; write other characters in percent form, as in %20"
		}
	}
	return ""
}

// badEscape checks the "%41" that s begins with: RFC 3986, section 6.2.2.
func badEscape(s string) string {
	if len(s) < 3 || hexDigit(s[1]) < 0 || hexDigit(s[2]) < 0 {
		return "a percent sign is followed by two hexadecimal digits"
	}
	c := byte(hexDigit(s[1])<<4 | hexDigit(s[2]))
	switch {
	case isLetter(c) || isDigit(c) || strings.IndexByte("-._~", c) >= 0:
		return s[:3] + " is the character " + string(rune(c)) + "; write that"
	case s[:3] != strings.ToUpper(s[:3]):
		return "percent forms are in capital letters: " + strings.ToUpper(s[:3])
	}
	return ""
}

func hexDigit(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
