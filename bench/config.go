package main

import (
	"fmt"
	"strings"
)

// The configurations give every proxy the same work: HTTP/1.1 kept alive on both sides, the Host passed on,
// X-Forwarded-For, -Proto and -Host set, no access log unless it is the subject, limits far above the load. All else is the
// program's default. They are printed into docs/performance.md, so they are written to be read.

func skeinConfig(s setup) string {
	rest := "log {\n  access = \"off\"\n}\n"
	if s.Log != "" {
		rest = fmt.Sprintf("log {\n  access      = \"combined\"\n  access_file = %q\n}\n", s.Log)
	}
	// Its own directory for what a skein that serves this machine has in the usual places.
	rest += fmt.Sprintf("state = %q\nadmin {\n  socket = %q\n}\n", s.Dir+"/state", s.Dir+"/skein.sock")
	if s.TLS || s.FastCGI {
		return skeinMore(s) + rest
	}
	if s.Routes == 0 && s.Members == 0 {
		return fmt.Sprintf("http \"bench\" {\n  listen  = %q\n  servers = [\"127.0.0.1:%d\"]\n}\n%s", s.Listen, s.Origin, rest)
	}
	var b strings.Builder
	b.WriteString("pool \"web\" {\n  servers = [\n")
	for i := range max(1, s.Members) {
		fmt.Fprintf(&b, "    \"%s:%d\",\n", memberAddress(i), s.Origin)
	}
	fmt.Fprintf(&b, "  ]\n}\n\nhttp \"bench\" {\n  listen = %q\n  pool   = pool.web\n", s.Listen)
	for i := range s.Routes {
		fmt.Fprintf(&b, "  route \"/r%d/\" {\n    pool = pool.web\n  }\n", i)
	}
	b.WriteString("}\n" + rest)
	return b.String()
}

// skeinMore is the configuration of the scenarios with TLS or FastCGI.
func skeinMore(s setup) string {
	tls, block, pool, files := "", "", "", ""
	if s.TLS {
		block = fmt.Sprintf("tls \"bench\" {\n  cert = %q\n  key  = %q\n}\n", s.Dir+"/cert.pem", s.Dir+"/key.pem")
		tls = "  tls    = tls.bench\n"
	}
	if s.H3 {
		tls += "  protocols = [\"http/1.1\", \"h2\", \"h3\"]\n"
	}
	if s.FastCGI {
		pool = "  protocol = \"fastcgi\"\n"
		if s.Keep {
			pool += "  keepalive = 256\n"
		}
		files = fmt.Sprintf("  files {\n    root = %q\n    script_root = \"/srv/site\"\n    try = [\"/index.php\"]\n  }\n", s.Dir)
	}
	return fmt.Sprintf("%spool \"web\" {\n  servers = [\"127.0.0.1:%d\"]\n%s}\nhttp \"bench\" {\n  listen = %q\n%s  pool   = pool.web\n%s}\n",
		block, s.Origin, pool, s.Listen, tls, files)
}

// memberAddress returns the i-th of many loopback addresses; 127.0.1.y are the driver's.
func memberAddress(i int) string {
	return fmt.Sprintf("127.1.%d.%d", i/250, 1+i%250)
}

func nginxConfig(s setup) string {
	log := "off"
	if s.Log != "" {
		// Skein writes its lines in batches, so nginx may as well.
		log = s.Log + " combined buffer=64k flush=1s"
	}
	listen, tls, location := "", "", `            proxy_pass http://site;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $host;`
	if s.TLS {
		listen = " ssl http2"
		tls = `
        ssl_certificate cert.pem;
        ssl_certificate_key key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:tls:10m;
        http2_max_concurrent_streams 128;`
	}
	if s.FastCGI {
		location = nginxScript
		if s.Keep {
			location += "\n            fastcgi_keep_conn on;"
		}
	}
	return fmt.Sprintf(`daemon off;
worker_processes 1;
pid nginx.pid;
events {
    worker_connections 16000;
}
http {
    access_log %s;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    upstream site {
        server 127.0.0.1:%d;
        keepalive 256;
        keepalive_requests 1000000000;
    }
    server {
        listen %s%s backlog=4096;%s
        location / {
%s
        }
    }
}
`, log, s.Origin, s.Listen, listen, tls, location)
}

// nginxScript sends everything to one script, with the parameters of Debian's fastcgi_params.
const nginxScript = `            fastcgi_pass site;
            fastcgi_param SCRIPT_FILENAME /srv/site/index.php;
            fastcgi_param SCRIPT_NAME /index.php;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param REQUEST_URI $request_uri;
            fastcgi_param DOCUMENT_URI $document_uri;
            fastcgi_param DOCUMENT_ROOT /srv/site;
            fastcgi_param SERVER_PROTOCOL $server_protocol;
            fastcgi_param REQUEST_SCHEME $scheme;
            fastcgi_param HTTPS $https if_not_empty;
            fastcgi_param GATEWAY_INTERFACE CGI/1.1;
            fastcgi_param SERVER_SOFTWARE nginx/$nginx_version;
            fastcgi_param REMOTE_ADDR $remote_addr;
            fastcgi_param REMOTE_PORT $remote_port;
            fastcgi_param SERVER_ADDR $server_addr;
            fastcgi_param SERVER_PORT $server_port;
            fastcgi_param SERVER_NAME $server_name;
            fastcgi_param REDIRECT_STATUS 200;`

func haproxyConfig(s setup) string {
	var global, frontend, backend string
	if s.Log != "" {
		// HAProxy has no log file of its own; its standard output is one here, which is cheaper than a syslog daemon.
		global = "    log stdout format raw local0\n"
		frontend = `    log global
    http-request capture req.hdr(Referer) len 128
    http-request capture req.hdr(User-Agent) len 128
    log-format "%ci - - [%trl] %{+Q}r %ST %B %{+Q}[capture.req.hdr(0)] %{+Q}[capture.req.hdr(1)]"
`
	}
	if s.Splice {
		backend = "    option splice-response\n"
	}
	bind, scheme := s.Listen, "http"
	if s.TLS {
		bind, scheme = s.Listen+" ssl crt "+s.Dir+"/both.pem alpn h2,http/1.1", "https"
	}
	servers := fmt.Sprintf("    server origin 127.0.0.1:%d\n", s.Origin)
	if s.Members > 0 {
		// By default it closes idle connections when they are a quarter of all descriptors.
		global += "    tune.pool-high-fd-ratio 95\n    tune.pool-low-fd-ratio 90\n"
		servers = ""
		for i := range s.Members {
			servers += fmt.Sprintf("    server s%d %s:%d\n", i, memberAddress(i), s.Origin)
		}
	}
	return fmt.Sprintf(`global
    nbthread 1
    maxconn 16000
    no strict-limits
%sdefaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 300s
frontend bench
    bind %s backlog 4096
%s    default_backend site
backend site
    http-reuse always
    option forwardfor
    http-request set-header X-Forwarded-Proto %s
    http-request set-header X-Forwarded-Host %%[req.hdr(host)]
%s%s`, global, bind, frontend, scheme, backend, servers)
}

func caddyConfig(s setup) string {
	log := ""
	if s.Log != "" {
		// The package has no combined format; JSON is Caddy's own.
		log = fmt.Sprintf("    log {\n        output file %s {\n            roll_disabled\n        }\n    }\n", s.Log)
	}
	host, port, _ := strings.Cut(s.Listen, ":")
	scheme, tls := "http", ""
	if s.TLS {
		scheme, tls = "https", fmt.Sprintf("    tls %s/cert.pem %s/key.pem\n", s.Dir, s.Dir)
	}
	return fmt.Sprintf(`{
    admin off
    auto_https off
    default_sni bench.example
}
%s://:%s {
    bind %s
%s%s    reverse_proxy 127.0.0.1:%d {
        transport http {
            keepalive_idle_conns_per_host 256
        }
    }
}
`, scheme, port, host, tls, log, s.Origin)
}
