package cert

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skein/config"
)

// shows is the first name of the certificate that a visitor without a name gets.
func shows(t *testing.T, s *Store) string {
	t.Helper()
	state, err := shake(t, s.Front(":443"), anyone(""))
	if err != nil {
		t.Fatalf("handshake: %v", err)
	}
	return state.PeerCertificates[0].DNSNames[0]
}

// lookAll is what watch does each time.
func lookAll(t *testing.T, s *Store) {
	for _, f := range s.files {
		s.look(t.Context(), f)
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	ca := newTestCA(t, "ca")
	replace := func(t *testing.T, from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	cases := map[string]func(t *testing.T, dir string){
		"written over": func(t *testing.T, dir string) { ca.files(t, dir, "a", "p256", "new.test") },
		"renamed over": func(t *testing.T, dir string) {
			f := ca.files(t, dir, "b", "p256", "new.test")
			replace(t, f.Cert, filepath.Join(dir, "a.crt"))
			replace(t, f.Key, filepath.Join(dir, "a.key"))
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, book := newStore(t, Options{})
			load(t, s, sites(site(&config.Front{Certificates: []*config.TLS{ca.files(t, dir, "a", "p256", "old.test")}})))
			lookAll(t, s)
			if got := shows(t, s); got != "old.test" {
				t.Fatalf("certificate = %s, want old.test", got)
			}
			change(t, dir)
			lookAll(t, s)
			if got := shows(t, s); got != "new.test" {
				t.Errorf("certificate after the change = %s, want new.test", got)
			}
			if n := strings.Count(book.String(), "\n"); n != 1 {
				t.Errorf("%d log lines, want 1:\n%s", n, book)
			}
		})
	}
}

// A link that is switched, as Kubernetes and certbot do, changes neither the path nor (here) times and sizes.
func TestASwitchedLinkIsSeen(t *testing.T) {
	ca, dir := newTestCA(t, "ca"), t.TempDir()
	old, fresh := filepath.Join(dir, "1"), filepath.Join(dir, "2")
	at := time.Now().Add(-time.Hour)
	for d, name := range map[string]string{old: "old.test", fresh: "new.test"} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		f := ca.files(t, d, "a", "p256", name)
		for _, p := range []string{f.Cert, f.Key} {
			if err := os.Chtimes(p, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := filepath.Join(dir, "current")
	if err := os.Symlink(old, link); err != nil {
		t.Fatal(err)
	}
	s, _ := newStore(t, Options{})
	load(t, s, sites(site(&config.Front{Certificates: []*config.TLS{{Name: "a", Cert: filepath.Join(link, "a.crt"), Key: filepath.Join(link, "a.key")}}})))
	if err := os.Symlink(fresh, link+".next"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".next", link); err != nil {
		t.Fatal(err)
	}
	lookAll(t, s)
	if got := shows(t, s); got != "new.test" {
		t.Errorf("certificate = %s, want new.test", got)
	}
}

func TestABrokenPairKeepsTheOldOne(t *testing.T) {
	ca, dir := newTestCA(t, "ca"), t.TempDir()
	f := ca.files(t, dir, "a", "p256", "old.test")
	s, book := newStore(t, Options{})
	load(t, s, sites(site(&config.Front{Certificates: []*config.TLS{f}})))
	certPEM, keyPEM := ca.leaf(t, "p256", "new.test")
	steps := []struct {
		name  string
		do    func()
		lines int // in the log so far
		want  string
	}{
		{"half of the certificate", func() { write(t, f.Cert, certPEM[:200]) }, 0, "old.test"},
		{"still half", func() {}, 1, "old.test"},
		{"still half, and that has been said", func() {}, 1, "old.test"},
		{"the certificate without its key", func() { write(t, f.Cert, certPEM) }, 1, "old.test"},
		{"the key is gone", func() { os.Remove(f.Key) }, 1, "old.test"},
		{"all of it", func() { write(t, f.Key, keyPEM) }, 2, "new.test"},
		{"nothing new", func() {}, 2, "new.test"},
	}
	for _, step := range steps {
		step.do()
		lookAll(t, s)
		if got := shows(t, s); got != step.want {
			t.Errorf("%s: certificate = %s, want %s", step.name, got, step.want)
		}
		if n := strings.Count(book.String(), "\n"); n != step.lines {
			t.Errorf("%s: %d log lines, want %d:\n%s", step.name, n, step.lines, book)
		}
		if st := s.Status()[0]; (st.Error != "") != (step.want == "old.test") {
			t.Errorf("%s: Status says %q", step.name, st.Error)
		}
	}
}

func TestAReloadReadsFiles(t *testing.T) {
	ca, dir := newTestCA(t, "ca"), t.TempDir()
	c := sites(site(&config.Front{Certificates: []*config.TLS{ca.files(t, dir, "a", "p256", "old.test")}}))
	s, _ := newStore(t, Options{})
	load(t, s, c)
	ca.files(t, dir, "a", "p256", "new.test")
	_, discard, err := s.Prepare(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	discard()
	if got := shows(t, s); got != "old.test" {
		t.Errorf("certificate after a discarded reload = %s, want old.test", got)
	}
	load(t, s, c)
	if got := shows(t, s); got != "new.test" {
		t.Errorf("certificate after a reload = %s, want new.test", got)
	}
}

func TestFilesThatAreNone(t *testing.T) {
	ca, dir := newTestCA(t, "ca"), t.TempDir()
	good, other := ca.files(t, dir, "good", "p256", "a.test"), ca.files(t, dir, "other", "p256", "a.test")
	big := filepath.Join(dir, "big")
	write(t, big, make([]byte, maxFile+1))
	for name, c := range map[string]struct {
		cert, key, want string
	}{
		"no file":        {filepath.Join(dir, "none"), good.Key, "no such file"},
		"no match":       {good.Cert, other.Key, "does not match"},
		"swapped":        {good.Key, good.Cert, "PEM"},
		"endless":        {big, good.Key, "1 MiB"},
		"a directory":    {dir, good.Key, "is a directory"},
		"key is missing": {good.Cert, "", "no such file"},
	} {
		s, _ := newStore(t, Options{})
		_, _, err := s.Prepare(t.Context(), sites(site(&config.Front{Certificates: []*config.TLS{{Name: "shop", Pos: config.Pos{File: "skein.hcl", Line: 7}, Cert: c.cert, Key: c.key}}})), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `skein.hcl:7: tls "shop"`) {
			t.Errorf("%s: Prepare = %v, want the place and %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "PRIVATE KEY-----") {
			t.Errorf("%s: the error quotes a key: %v", name, err)
		}
	}
}

// One goroutine replaces files all the time while handshakes go on: none may fail.
func TestHandshakesWhileFilesChange(t *testing.T) {
	ca, dir := newTestCA(t, "ca"), t.TempDir()
	f := ca.files(t, dir, "a", "p256", "a.test")
	s, _ := newStore(t, Options{})
	load(t, s, sites(site(&config.Front{Certificates: []*config.TLS{f}})))
	certPEM, keyPEM := ca.leaf(t, "p256", "a.test")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			write(t, f.Cert, certPEM[:(i*37)%len(certPEM)])
			lookAll(t, s)
			write(t, f.Cert, certPEM)
			write(t, f.Key, keyPEM)
			lookAll(t, s)
		}
	}()
	client := anyone("a.test")
	for range 100 {
		if _, err := shake(t, s.Front(":443"), client); err != nil {
			t.Fatalf("handshake: %v", err)
		}
	}
	<-done
}
