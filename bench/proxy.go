package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// setup is what one instance of a proxy is asked for; its configuration is written from it.
type setup struct {
	Dir     string // its directory: config, logs, temporary files
	Listen  string // 127.0.0.1:port
	Origin  int    // port of the origin
	Log     string // file for an access log, "" = none
	Splice  bool   // HAProxy only: option splice-response
	Routes  int    // skein only: so many routes, 0 = none
	Members int    // skein and HAProxy: so many members, 0 = one
	TLS     bool   // over TLS with the certificate in cert.pem, key.pem and both.pem of Dir; HTTP/2 too
	H3      bool   // skein and Caddy: over HTTP/3 as well
	FastCGI bool   // skein and nginx: the origin speaks FastCGI
	Keep    bool   // with FastCGI: connections are kept
}

// proxy is a program that is measured.
type proxy struct {
	name    string
	program string // in the PATH, or absolute
	from    string // where to get it
	version []string
	file    string // name of its configuration
	config  func(setup) string
	argv    func(program, file string) []string
	env     func(dir string) []string
	inGo    bool // -gomaxprocs applies
}

// proxies is THE list of who is measured, in the order of a round. Skein's program is built by the harness.
func proxies() []proxy {
	return []proxy{
		{
			name: "skein", from: "this source", version: []string{"version"}, file: "bench.hcl", config: skeinConfig, inGo: true,
			argv: func(program, file string) []string { return []string{program, "run", file} },
		},
		{
			name: "nginx", program: "nginx", from: "apt install nginx-light", version: []string{"-v"}, file: "nginx.conf",
			config: nginxConfig,
			argv: func(program, file string) []string {
				return []string{program, "-p", filepath.Dir(file), "-e", "stderr", "-c", file}
			},
		},
		{
			name: "haproxy", program: "haproxy", from: "apt install haproxy", version: []string{"-v"}, file: "haproxy.cfg",
			config: haproxyConfig,
			argv:   func(program, file string) []string { return []string{program, "-db", "-f", file} },
		},
		{
			name: "caddy", program: "caddy", from: "apt install caddy", version: []string{"version"}, file: "Caddyfile",
			config: caddyConfig, inGo: true,
			argv: func(program, file string) []string {
				return []string{program, "run", "--adapter", "caddyfile", "--config", file}
			},
			env: func(dir string) []string {
				return []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}
			},
		},
	}
}

// find looks the program up, also in the directories of root that a user's PATH often lacks, and asks its version.
func (p *proxy) find() (version string, err error) {
	path, err := exec.LookPath(p.program)
	if err != nil && p.program != "" {
		for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
			if found, e := exec.LookPath(filepath.Join(dir, p.program)); e == nil {
				path, err = found, nil
				break
			}
		}
	}
	if err != nil {
		return "", fmt.Errorf("%s is missing: %s", p.name, p.from)
	}
	p.program = path
	out, err := exec.Command(path, p.version...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", p.name, err)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.TrimPrefix(strings.TrimSuffix(line, " - https://haproxy.org/"), "nginx version: "), nil
}

// write puts the configuration for s into its directory and returns the command line.
func (p *proxy) write(s setup) ([]string, error) {
	if s.TLS {
		if err := writeCertificate(s.Dir); err != nil {
			return nil, err
		}
	}
	file := filepath.Join(s.Dir, p.file)
	if err := os.WriteFile(file, []byte(p.config(s)), 0o644); err != nil {
		return nil, fmt.Errorf("write %s: %w", p.file, err)
	}
	return p.argv(p.program, file), nil
}
