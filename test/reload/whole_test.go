package reload

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"skein/test/harness"
)

// A file with a mistake changes nothing: not a route, not a member, not the log, and says where the mistake is.
func TestMistakes(t *testing.T) {
	t.Parallel()
	f := newFile(t, "a")
	f.block = "route \"/b\" {\n pool = pool.other\n }"
	f.more = fmt.Sprintf("pool \"other\" {\n servers = [%q]\n}", harness.Name(t, "b").Addr)
	s := harness.Start(t, f.String())
	c := harness.Raw(t, f.addr)
	c.Get("/")
	status := func() string {
		_, after, _ := strings.Cut(s.Admin("/api/v1/status"), `"config"`)
		config, _, _ := strings.Cut(after, "}")
		return config
	}
	before := status()
	for _, test := range []struct{ name, text, want string }{
		{"syntax", f.String() + "\npool \"x\" {", "Unclosed"},
		{"unknown key", strings.Replace(f.String(), "listen =", "lisen =", 1), "Did you mean \"listen\"?"},
		{"unknown block", f.String() + "\nvip \"x\" {\n}\n", "vip"},
		{"unknown pool", strings.Replace(f.String(), "pool   = pool.web", "pool   = pool.wbe", 1), "wbe"},
		{"bad duration", strings.Replace(f.String(), "pool   = pool.web", "pool   = pool.web\n timeouts {\n idle = \"5 parsecs\"\n }", 1), "parsecs"},
		{"unreadable file", strings.Replace(f.String(), "pool   = pool.web", "pool   = pool.web\n error_pages = { \"503\" = \"no/such/file\" }", 1), "no/such/file"},
		{"empty pool", f.String() + "\npool \"x\" {\n servers = []\n}\n", "pool \"x\""},
		{"access file", f.String() + "\nlog {\n access_file = \"/no/such/directory/access.log\"\n}\n", "/no/such/directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.Write(test.text)
			out, code := s.Command("reload")
			if code != 1 || !strings.Contains(out, s.File) || !strings.Contains(out, "line ") && !strings.Contains(out, s.File+":") || !strings.Contains(out, test.want) {
				t.Errorf("reload = %d\n%s\nwant code 1, the file with a line, and %q", code, out, test.want)
			}
			good(t, c.Get("/"), "a")
			good(t, c.Get("/b"), "b")
			if now := status(); now != before {
				t.Errorf("the configuration in force is %s, was %s", now, before)
			}
		})
	}
	s.Reload(f.String())
	good(t, harness.Fetch(t, f.addr, "/"), "a")
}

// The line of the mistake is exact.
func TestPlaceOfMistake(t *testing.T) {
	t.Parallel()
	f := newFile(t, "a")
	s := harness.Start(t, f.String())
	text := strings.Replace(f.String(), "pool   = pool.web", "pool   = pool.web\n\n  colour = \"red\"", 1)
	line := 1 + strings.Count(text[:strings.Index(text, "colour")], "\n")
	s.Write(text)
	out, code := s.Command("reload")
	if want := fmt.Sprintf("on %s line %d, in http \"site\"", s.File, line); code != 1 || !strings.Contains(out, want) {
		t.Errorf("reload = %d\n%s\nwant code 1 and %s", code, out, want)
	}
	// SIGHUP says the same in the log.
	s.Signal(syscall.SIGHUP)
	harness.Eventually(t, harness.Patience, "the log tells of the mistake", func() bool {
		return strings.Count(s.Log(), fmt.Sprintf("%s:%d: ", s.File, line)) >= 2
	})
	good(t, harness.Fetch(t, f.addr, "/"), "a")
}

// A listening address that somebody else has fails the reload as a whole: the routes, members and other listeners of that file
// do not come either.
func TestAddressInUse(t *testing.T) {
	t.Parallel()
	f := newFile(t, "a", "b")
	only := f
	only.servers = f.servers[:1]
	s := harness.Start(t, only.String())
	taken, err := net.Listen("tcp", harness.FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := harness.FreeAddr(t)
	for range 3 { // what skein keeps for the next one: a connection to the origin, goroutines that wait for work
		good(t, harness.Fetch(t, f.addr, "/"), "a")
	}
	before := s.Usage()
	next := f
	next.servers = f.servers[1:]
	next.more = fmt.Sprintf("http \"more\" {\n  listen = [%q, %q]\n  pool = pool.web\n}\n", free, taken.Addr().String())
	for range 5 {
		s.Write(next.String())
		out, code := s.Command("reload")
		if code != 1 || !strings.Contains(out, taken.Addr().String()) || !strings.Contains(out, "in use") || !strings.Contains(out, s.File+":") {
			t.Fatalf("reload = %d\n%s\nwant code 1, the file, the address, and that it is in use", code, out)
		}
		good(t, harness.Fetch(t, f.addr, "/"), "a")
		if _, err := harness.TryFetch(free, "/"); err == nil {
			t.Error("the other listener of a file that was refused is open")
		}
	}
	s.Settles(before)
	taken.Close()
	s.Reload(next.String())
	good(t, harness.Fetch(t, f.addr, "/"), "b")
	good(t, harness.Fetch(t, free, "/"), "b")
	good(t, harness.Fetch(t, taken.Addr().String(), "/"), "b")
}

// A file that is missing or wrong at the start ends skein, with the place of the mistake.
func TestWrongStart(t *testing.T) {
	t.Parallel()
	f := newFile(t, "a")
	s := harness.Launch(t, strings.Replace(f.String(), "pool   =", "pol =", 1))
	if code := s.Exit(harness.Patience); code == 0 || !strings.Contains(s.Log(), "on "+s.File+" line 11") {
		t.Errorf("exit code %d, log:\n%s", code, s.Log())
	}
	if err := os.Remove(s.File); err != nil {
		t.Fatal(err)
	}
	if out, code := s.Command("run", s.File); code == 0 || !strings.Contains(out, "no such file") {
		t.Errorf("run without a file = %d\n%s", code, out)
	}
}
