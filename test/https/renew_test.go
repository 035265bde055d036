package https

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"skein/test/harness"
)

// renewal is files of a certificate that are replaced again and again. The configuration names them below a link, live.
type renewal struct {
	t    testing.TB
	dir  string
	n    int
	sets int
}

func (r *renewal) live() string { return filepath.Join(r.dir, "live") }

func (r *renewal) do(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// link makes live lead to a new directory that holds l, as certbot and Kubernetes do.
func (r *renewal) link(l *leaf) {
	r.t.Helper()
	r.sets++
	set := filepath.Join(r.dir, fmt.Sprint("set", r.sets))
	l.write(set)
	r.do(os.Symlink(set, r.live()+".new"))
	r.do(os.Rename(r.live()+".new", r.live()))
}

// rename puts new files in the place of the old ones, one after the other.
func (r *renewal) rename(l *leaf) {
	r.t.Helper()
	l.write(filepath.Join(r.dir, "next"))
	for _, f := range []string{"cert.pem", "key.pem"} {
		r.do(os.Rename(filepath.Join(r.dir, "next", f), filepath.Join(r.live(), f)))
	}
}

// over writes over the files, and leaves the certificate half-written for a while.
func (r *renewal) over(l *leaf, while func()) {
	r.t.Helper()
	cert, key := filepath.Join(r.live(), "cert.pem"), filepath.Join(r.live(), "key.pem")
	r.do(os.WriteFile(cert, l.cert[:len(l.cert)/2], 0o600))
	while()
	r.do(os.WriteFile(cert, l.cert, 0o600))
	r.do(os.WriteFile(key, l.key[:len(l.key)/2], 0o600))
	r.do(os.WriteFile(key, l.key, 0o600))
}

// next replaces the certificate in one of the three ways, in turn.
func (r *renewal) next(l *leaf, while func()) (how string) {
	r.t.Helper()
	r.n++
	switch r.n % 3 {
	case 0:
		r.link(l)
		return "link"
	case 1:
		r.rename(l)
		return "rename"
	}
	r.over(l, while)
	return "write over"
}

// Files that are replaced under load cost nobody a request or a connection, whichever way that is done, and new handshakes show
// what they hold within five seconds.
func TestFilesReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	addr, c := harness.FreeAddr(t), newCA(t, "test CA")
	r := &renewal{t: t, dir: t.TempDir()}
	r.link(c.server(host))
	s := harness.Start(t, tlsBlock("site", r.live())+block1(addr, hello(t), "protocols = [\"http/1.1\", \"h2\", \"h3\"]")+quiet)
	config := &tls.Config{RootCAs: c.pool(), ServerName: host}
	load := visit(t, addr, host, config, 20, true)
	load.more(100)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var last *leaf
	for range 20 { // faster than anybody looks: halves of two renewals may be read together
		last = c.server(host)
		r.next(last, func() { load.more(10) })
		<-tick.C
	}
	shows(t, addr, config, last, "20 renewals")
	for range harness.Count(1, 3, 20) {
		l := c.server(host)
		how := r.next(l, func() {
			began := time.Now()
			load.more(1)
			// Longer than two looks: what is half-written is met, and what is complained about is mended later.
			harness.Eventually(t, harness.Patience, "looks", func() bool { return time.Since(began) > 4500*time.Millisecond || testing.Short() })
			if _, state, err := ask(addr, config, host, "/"); err != nil || !state.PeerCertificates[0].Equal(last.x509) {
				t.Errorf("while the new certificate is half-written: %v, or not the old one", err)
			}
		})
		shows(t, addr, config, l, how)
		last = l
	}
	load.more(100)
	if met := load.met(); met < harness.Count(2, 4, 21) {
		t.Errorf("visitors have met %d certificates", met)
	}
	load.good("renewals")
	load.undisturbed()
	load.end()
	s.Stop()
}

// shows fails the test unless new handshakes get this certificate within five seconds.
func shows(t testing.TB, addr string, config *tls.Config, want *leaf, how string) {
	t.Helper()
	var err error
	if !harness.Soon(5*time.Second, func() bool {
		var state tls.ConnectionState
		_, state, err = ask(addr, config, host, "/")
		return err == nil && state.PeerCertificates[0].Equal(want.x509)
	}) {
		t.Errorf("%s: the new certificate does not show within 5 s (%v)", how, err)
	}
}
