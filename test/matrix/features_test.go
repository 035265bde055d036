package matrix

// features is the table. The functions are in the files beside it, by what they are about.
func features() []feature {
	return []feature{
		// routing_test.go
		{name: "plain", test: plain, each: true, same: true},
		{name: "methods", test: methods, each: true, same: true},
		{name: "routing", test: routing, routes: true, http: `route "/echo/" {
    pool = {pool}
    methods = ["GET", "POST"]
  }
  route "/echo/only" {
    pool = {pool}
    methods = ["POST"]
    response_headers {
      set = { X-Route = "only" }
    }
  }
  route "/echo/exact" {
    pool = {pool}
    exact = true
    response_headers {
      set = { X-Route = "exact" }
    }
  }`},
		{name: "strip", test: strip, each: true, http: `route "/app/" {
    strip = "/app"
  }`},
		{name: "redirect", test: redirects, http: `route "/old/" {
    redirect = "{scheme}://{host}/new{uri}"
  }
  route "/moved" {
    redirect = "/there?{query}"
    status = 302
  }`},
		{name: "edits", test: edits, each: true, http: `request_headers {
    set = { X-Set = "route", Host = "inner.test" }
    add = { X-Add = "route" }
    remove = ["X-Remove"]
  }
  response_headers {
    set = { X-Set = "route" }
    add = { X-Add = "route" }
    remove = ["X-Remove"]
  }`},
		{name: "forwarded-x", test: forwarded("X-Forwarded-For"), each: true},
		{name: "forwarded-rfc7239", test: forwarded("Forwarded"), each: true, http: `forwarded = "rfc7239"`},
		{name: "forwarded-both", test: forwarded("X-Forwarded-For Forwarded"), each: true, http: `forwarded = "both"`},
		{name: "forwarded-off", test: forwarded(""), each: true, http: `forwarded = "off"`},
		{name: "trusted-x", test: trusted("X-Forwarded-For"), each: true, http: `trusted_proxies = "127.0.0.0/8"`},
		{name: "trusted-rfc7239", test: trusted("Forwarded"), each: true, http: "forwarded = \"rfc7239\"\n  trusted_proxies = \"127.0.0.0/8\""},
		{name: "trusted-both", test: trusted("X-Forwarded-For Forwarded"), each: true, http: "forwarded = \"both\"\n  trusted_proxies = \"127.0.0.0/8\""},
		{name: "trusted-off", test: trusted(""), each: true, http: "forwarded = \"off\"\n  trusted_proxies = \"127.0.0.0/8\""},

		// limits_test.go
		{name: "limits", test: limits, http: `limits {
    header = "4KiB"
    fields = 20
    uri = "1KiB"
  }`},
		{name: "max-body", test: maxBody, each: true, http: `max_body = "1KiB"`},
		{name: "error-pages", test: errorPages, servers: "dead", http: `max_body = "1KiB"
  error_pages = { "502" = "{dir}/pages/502.html", "4xx" = "{dir}/pages/4xx.html" }`},
		{name: "timeout-first-byte", test: timeoutFirstByte, each: true, same: true, pool: "timeouts {\n first_byte = \"1s\"\n }"},
		{name: "timeout-idle", test: timeoutIdle, each: true, pool: "timeouts {\n idle = \"1s\"\n }"},
		{name: "timeout-body", test: timeoutBody, each: true, http: "timeouts {\n body = \"1s\"\n }"},
		{name: "timeout-header", test: timeoutHeader, http: "timeouts {\n header = \"1s\"\n idle = \"5s\"\n }"},
		{name: "timeout-ceiling", test: timeoutCeiling, each: true, http: "timeouts {\n ceiling = \"1500ms\"\n }"},

		// pool_test.go
		{name: "sticky", test: sticky, each: true, servers: "a b", pool: "sticky {\n max_age = \"1h\"\n }"},
		{name: "hash-header", test: hash("header"), servers: "a b", pool: "policy = \"hash\"\n  key = \"header:X-Key\""},
		{name: "hash-cookie", test: hash("cookie"), servers: "a b", pool: "policy = \"maglev\"\n  key = \"cookie:key\""},
		{name: "hash-uri", test: hash("uri"), servers: "a b", pool: "policy = \"hash\"\n  key = \"uri\""},
		{name: "dead-member", test: deadMember, each: true, servers: "dead a", pool: "eject {\n errors = 0\n }"},
		{name: "retry", test: retry, each: true, servers: "a b", pool: "eject {\n errors = 0\n }"},
		{name: "queue", test: queue, each: true, pool: "max_conns = 1\n  queue = 1\n  queue_timeout = \"500ms\""},
		{name: "queue-cancel", test: queueCancel, each: true, reset: true, watched: true, pool: "max_conns = 1\n  queue = 1"},
		{name: "cancel", test: cancel, each: true, reset: true},

		// body_test.go
		{name: "bodies", test: bodies, each: true, same: true},
		{name: "streaming-up", test: streamingUp, each: true},
		{name: "streaming-down", test: streamingDown, each: true, same: true},
		{name: "expect", test: expect, each: true},
		{name: "early-hints", test: earlyHints, each: true, same: true},
		{name: "trailers", test: trailers, each: true, same: true},
		{name: "no-content", test: noContent, each: true, same: true},
		{name: "early-answer", test: earlyAnswer, each: true},
		{name: "cut", test: cut, each: true},

		// websocket_test.go
		{name: "websocket", test: webSockets, each: true},

		// local_test.go
		{name: "files", test: files, same: true, http: `files {
    root = "{dir}/files"
    try  = ["{path}", "{path}/", "=404"]
  }`},
		{name: "compress", test: compressed, each: true, http: "compress {\n }"},
		{name: "security", test: security, https: "https {\n hsts = \"1h\"\n }"},
	}
}

// skips are the combinations that cannot be.
func skips() []skip {
	return []skip{
		{"early-hints", "", "fcgi", "a CGI script answers once: RFC 3875 section 6 knows no interim answers"},
		{"trailers", "", "fcgi", "RFC 3875 has no trailers, in neither direction"},
		{"early-answer", "", "fcgi", "PHP reads the body itself before, or after, it answers; the record stream has no early end that PHP would use"},
		{"streaming-up", "", "fcgi", "a script must know CONTENT_LENGTH before it starts (RFC 3875 section 4.1.2), so that bodies of unknown length are taken in first"},
		{"cancel", "", "fcgi", "PHP learns that its client has gone when it writes, not before"},
	}
}
