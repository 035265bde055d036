// Package pebble runs Pebble, the CA that Let's Encrypt made for testing ACME clients, with the DNS server that belongs to it.
//
// Start at [Start]. Half of all good nonces are refused and no authorization is ever used again, so that a client shows what
// it does about that. Every name has the address of [Options].Host, and records are set with [Pebble.SetTXT] or by whoever
// speaks to [Pebble].Management.
//
// It is no CA for anything else, and judges no client: tests do.
package pebble

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
)

// version is what is installed when the programs are not there.
const version = "v2.9.0"

// Options say how the CA behaves.
type Options struct {
	Host              string            // the address of every name; "" is 127.0.0.1
	HTTPPort, TLSPort int               // where validations go; 0 is nowhere
	EAB               map[string]string // key ID -> key: external accounts, which are then demanded
	Sleep             time.Duration     // validations wait up to so long; 0 is not at all
	NonceReject       int               // percent of good nonces that are refused; 0 is 30, -1 is none
	Validity          time.Duration     // of certificates; 0 is 90 days
	OCSP              string            // URL of a responder that certificates name; "" is none
	Blocked           []string          // names that are never given a certificate
}

// Pebble is one running CA.
type Pebble struct {
	Directory  string // URL for ACME clients
	RootPEM    []byte // what Directory's own TLS is verified with
	Management string // URL of the DNS server's interface: POST /set-txt {"host":"_acme-challenge.a.test.","value":"..."}
	DNS        string // address of the DNS server

	t      testing.TB
	dir    string
	admin  string
	client *http.Client
	ca     *process
	dns    *process
}

// Start runs a CA until the test ends.
func Start(t testing.TB, o Options) *Pebble {
	t.Helper()
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.NonceReject == 0 {
		// Six times Pebble's own. At 50 one request in two thousand is refused eleven times in a row, which is when a client may
		// well give up until later.
		o.NonceReject = 30
	}
	if o.Validity == 0 {
		o.Validity = 90 * 24 * time.Hour
	}
	ca, dns := find(t, "pebble"), find(t, "pebble-challtestsrv")
	listen, admin, resolver, management := harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t)
	p := &Pebble{
		Directory:  "https://" + listen + "/dir",
		Management: "http://" + management,
		DNS:        resolver,
		t:          t, dir: t.TempDir(), admin: "https://" + admin,
	}
	p.certify(listen)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.RootPEM)
	p.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	config := map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": admin,
		"certificate": filepath.Join(p.dir, "cert.pem"), "privateKey": filepath.Join(p.dir, "key.pem"),
		"httpPort": o.HTTPPort, "tlsPort": o.TLSPort,
		"ocspResponderURL":               o.OCSP,
		"externalAccountBindingRequired": len(o.EAB) > 0, "externalAccountMACKeys": o.EAB,
		"domainBlocklist": o.Blocked,
		"retryAfter":      map[string]int{"authz": 1, "order": 1},
		"keyAlgorithm":    "ecdsa",
		"profiles":        map[string]any{"default": map[string]any{"description": "for tests", "validityPeriod": int(o.Validity.Seconds())}},
	}}
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	p.write("config.json", b)
	env := []string{"PEBBLE_AUTHZREUSE=0", fmt.Sprintf("PEBBLE_WFE_NONCEREJECT=%d", max(o.NonceReject, 0))}
	if o.Sleep == 0 {
		env = append(env, "PEBBLE_VA_NOSLEEP=1")
	} else {
		env = append(env, fmt.Sprintf("PEBBLE_VA_SLEEPTIME=%d", max(1, int(o.Sleep.Seconds()))))
	}
	p.dns = &process{args: []string{dns, "-dns01", resolver, "-management", management, "-defaultIPv4", o.Host, "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""}, addrs: []string{management}}
	p.ca = &process{args: []string{ca, "-config", filepath.Join(p.dir, "config.json"), "-dnsserver", resolver}, addrs: []string{listen, admin}, env: env}
	p.dns.start(t)
	t.Cleanup(p.dns.kill)
	p.ca.start(t)
	t.Cleanup(p.ca.kill)
	return p
}

// Kill is kill -9 of the CA; its DNS server stays.
func (p *Pebble) Kill() { p.ca.kill() }

// Restart starts the CA again. It remembers nothing, not even its key: accounts and certificates are those of a stranger.
func (p *Pebble) Restart() {
	p.t.Helper()
	p.ca.kill()
	p.ca.start(p.t)
}

// Log is all that the CA has written.
func (p *Pebble) Log() string { return p.ca.log() }

// Roots verify what the CA issues. They differ after a restart.
func (p *Pebble) Roots() *x509.CertPool {
	p.t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(p.get(p.admin + "/roots/0")) {
		p.t.Fatal("pebble has no root certificate")
	}
	return pool
}

// SetRenewal makes the CA suggest a window for the renewal of a certificate (RFC 9773).
func (p *Pebble) SetRenewal(leaf *x509.Certificate, from, to time.Time) {
	p.t.Helper()
	window := fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q}}`, from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
	p.post(p.admin+"/set-renewal-info/", map[string]string{
		"Certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})), "ARIResponse": window,
	})
}

// SetTXT publishes a record; name is without a final dot.
func (p *Pebble) SetTXT(name, value string) {
	p.t.Helper()
	p.post(p.Management+"/set-txt", map[string]string{"host": name + ".", "value": value})
}

// ClearTXT takes the records of name away.
func (p *Pebble) ClearTXT(name string) {
	p.t.Helper()
	p.post(p.Management+"/clear-txt", map[string]string{"host": name + "."})
}

func (p *Pebble) get(url string) []byte {
	p.t.Helper()
	w, err := p.client.Get(url)
	if err != nil {
		p.t.Fatal(err)
	}
	defer w.Body.Close()
	b, err := io.ReadAll(w.Body)
	if err != nil || w.StatusCode != http.StatusOK {
		p.t.Fatalf("%s = %s (%v)", url, w.Status, err)
	}
	return b
}

func (p *Pebble) post(url string, body any) {
	p.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	w, err := p.client.Post(url, "application/json", bytes.NewReader(b))
	if err != nil {
		p.t.Fatal(err)
	}
	defer w.Body.Close()
	if said, _ := io.ReadAll(w.Body); w.StatusCode != http.StatusOK {
		p.t.Fatalf("%s = %s: %s", url, w.Status, said)
	}
}

// certify makes the certificate that the CA's own interfaces show.
func (p *Pebble) certify(listen string) {
	p.t.Helper()
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		p.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "pebble itself"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.ParseIP(host)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		p.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.RootPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	p.write("cert.pem", p.RootPEM)
	p.write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

func (p *Pebble) write(name string, b []byte) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), b, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// find returns the path of a program, which is installed if it is nowhere.
func find(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	out, err := exec.Command("go", "env", "GOBIN", "GOPATH").Output()
	if err != nil {
		t.Fatalf("go env: %v", err)
	}
	bin, paths, _ := strings.Cut(strings.TrimRight(string(out), "\n"), "\n")
	if bin == "" {
		bin = filepath.Join(filepath.SplitList(paths)[0], "bin")
	}
	path := filepath.Join(bin, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	// One program on its own, outside of this module, which does not depend on it.
	install := exec.Command("go", "install", "github.com/letsencrypt/pebble/v2/cmd/"+name+"@"+version)
	install.Dir = t.TempDir()
	if said, err := install.CombinedOutput(); err != nil {
		text := fmt.Sprintf("%s %s is not there and cannot be installed: %v\n%s", name, version, err, said)
		if os.Getenv("CI") != "" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	return path
}

// process is one program that listens.
type process struct {
	args  []string
	addrs []string
	env   []string

	cmd    *exec.Cmd
	exited chan struct{}
	mu     sync.Mutex // guards out
	out    bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (p *process) start(t testing.TB) {
	t.Helper()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	p.exited = exited
	go func(cmd *exec.Cmd) {
		cmd.Wait()
		close(exited)
	}(p.cmd)
	harness.Eventually(t, harness.Patience, p.args[0]+" listens", func() bool {
		select {
		case <-exited:
			t.Fatalf("%s ended at its start:\n%s", p.args[0], p.log())
		default:
		}
		for _, addr := range p.addrs {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				return false
			}
			c.Close()
		}
		return true
	})
}

func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill()
	<-p.exited
}
