package matrix

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"skein/test/harness"
)

// lives starts a skein in which each cell has a member, a, and one that helps when there is none, b; and holds a request of each
// cell in it. Drains and stops are the whole process's: they have a skein of their own.
func lives(t *testing.T, name string) (*site, map[*cell]<-chan asked) {
	t.Helper()
	s := prepare(t)
	var file strings.Builder
	fmt.Fprintf(&file, "log {\n  access = \"json\"\n  access_file = %q\n}\ntls \"main\" {\n  cert = %q\n  key = %q\n}\nservers = {\n", s.log, s.cert, s.key)
	for _, m := range s.members {
		fmt.Fprintf(&file, "  %[1]s-a = %[2]q\n  %[1]s-b = %[3]q\n", m.name, m.a, m.b)
	}
	file.WriteString("}\n")
	plain, secure := harness.FreeAddr(t), harness.FreeAddr(t)
	for _, c := range clients() {
		for _, m := range s.members {
			x := &cell{T: t, site: s, f: &feature{name: name}, client: c, member: m, name: name + "-" + c.name + "-" + m.name, addr: plain}
			if c.tls {
				x.addr = secure
			}
			s.cells = append(s.cells, x)
			config := x.config("")
			config = strings.Replace(config, fmt.Sprintf("%q]", m.a), fmt.Sprintf("server.%[1]s-a]\n  backup = [server.%[1]s-b]", m.name), 1)
			file.WriteString(config)
		}
	}
	s.Skein = harness.Start(t, file.String())
	held := map[*cell]<-chan asked{}
	for _, x := range s.cells {
		x.open()
		id := x.id()
		held[x] = x.beside(request{path: "/hold?id=" + id})
		x.marked(id, "on")
	}
	return s, held
}

// A drain of a server lets what runs there finish, whatever carries it, and gives it no new work.
func TestDrain(t *testing.T) {
	t.Parallel()
	s, held := lives(t, "drain")
	var drained []string
	for _, m := range s.members {
		name := m.name + "-a"
		drained = append(drained, name)
		if out, code := s.Command("drain", name); code != 0 {
			t.Fatalf("drain %s: %s", name, out)
		}
	}
	for _, x := range s.cells {
		for range 3 {
			x.is("member of new work of "+x.name, x.echo(request{path: "/echo"}).Server, "b")
		}
		x.release(x.name + "-1")
		got := <-held[x]
		if got.err != nil || got.a.body != "held" || got.a.Header.Get("X-Server") != "a" {
			t.Errorf("%s: the request that ran: %+v", x.name, got)
		}
		x.ran = true
		x.logs(times(4, "200 done")...)
	}
	for _, name := range drained {
		if out, code := s.Command("ready", name); code != 0 {
			t.Fatalf("ready %s: %s", name, out)
		}
	}
	for _, x := range s.cells {
		x.is("member of "+x.name+" after the drain", x.echo(request{path: "/echo"}).Server, "a")
		x.logs("200 done")
	}
	s.compare()
	s.Stop()
}

// A stop lets what runs finish, whatever carries it.
func TestStop(t *testing.T) {
	t.Parallel()
	s, held := lives(t, "stop")
	s.Signal(syscall.SIGTERM)
	harness.Eventually(t, harness.Patience, "skein stops", func() bool { return strings.Contains(s.Log(), "stopping") })
	var all sync.WaitGroup
	for _, x := range s.cells {
		all.Go(func() {
			x.release(x.name + "-1")
			if got := <-held[x]; got.err != nil || got.a.body != "held" {
				t.Errorf("%s: the request that ran: %+v", x.name, got)
			}
		})
	}
	all.Wait()
	s.Stopped(harness.Patience)
	lines := s.journal()
	for _, x := range s.cells {
		if l := lines[x.name]; len(l) != 1 || l[0].Status != 200 || l[0].Cause != "done" || l[0].Proto != x.client.proto {
			t.Errorf("%s: the access log says %+v", x.name, l)
		}
	}
}
