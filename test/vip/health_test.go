package vip

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"skein/test/lab"
)

// quickProbe finds out within half a second that a node does not serve.
const quickProbe = `probe {
    every   = "100ms"
    timeout = "300ms"
    fall    = 2
  }`

// cut makes a host's own packets to all web servers vanish, or not any more. All else goes on: VRRP, visitors.
func (s *site) cut(i int, on bool) {
	s.t.Helper()
	if err := s.lb[i].Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		table := &nftables.Table{Name: "cut", Family: nftables.TableFamilyIPv4}
		conn.AddTable(table)
		conn.DelTable(table) // what is not there must not be removed
		if on {
			conn.AddTable(table)
			chain := conn.AddChain(&nftables.Chain{
				Name: "out", Table: table, Type: nftables.ChainTypeFilter,
				Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter,
			})
			for _, h := range s.web {
				to := h.Port(0).Addr().As4()
				conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
					&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4}, // ip daddr
					&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: to[:]},
					&expr.Verdict{Kind: expr.VerdictDrop},
				}})
			}
		}
		return conn.Flush()
	}); err != nil {
		s.t.Fatalf("cut %s off from the web servers: %v", s.lb[i].Name, err)
	}
}

// A balancer that reaches no web server gives the address to one that does; it gets it back only with preempt. If none does, the
// address stays where it is, and visitors are told.
func TestMembersOutOfReach(t *testing.T) {
	for _, preempt := range []bool{false, true} {
		t.Run(fmt.Sprintf("preempt %v", preempt), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 2)
			file := s.file(s.front(fmt.Sprintf("preempt = %v", preempt), quickProbe))
			s.start(strings.Replace(file, "pool \"site\" {\n", "pool \"site\" {\n  timeouts {\n    connect    = \"300ms\"\n    first_byte = \"1s\"\n  }\n", 1))
			began := time.Now()
			s.cut(0, true)
			at := s.owners.Wait(s.lb[1], patience)
			t.Logf("lb2 had the address after %v", at.Sub(began))
			s.waits(0, patience, "it is unfit", func(n status) bool {
				return n.of("front").Fitness == "unfit" && n.of("front").State == "backup" && strings.Contains(n.of("front").Unfit, "site")
			})
			if body, code, err := get(s.visitor, 80, "/", patience); body != "hello" || code != http.StatusOK {
				t.Errorf("lb2 answers %d %q %v", code, body, err)
			}

			// Now nobody is better.
			s.cut(1, true)
			s.waits(1, patience, "it is unfit", func(n status) bool { return n.of("front").Fitness == "unfit" })
			// lb1 comes first among the unfit, but takes nothing away without preempt.
			keeper := s.lb[1]
			if preempt {
				keeper = s.lb[0]
			}
			s.owners.Wait(keeper, patience)
			since := time.Now()
			_, code, err := get(s.visitor, 80, "/", patience)
			if code != http.StatusServiceUnavailable && code != http.StatusBadGateway && code != http.StatusGatewayTimeout {
				t.Errorf("without web servers the visitor is told %d %v", code, err)
			}
			stay(t, s, keeper, since, 500*time.Millisecond)

			// And it is found out when it is over.
			s.cut(1, false)
			s.owners.Wait(s.lb[1], patience)
			s.ready(1)
			s.cut(0, false)
			s.ready(0)
			if preempt {
				s.owners.Wait(s.lb[0], patience)
			} else {
				stay(t, s, s.lb[1], time.Now(), time.Second)
			}
			if d := s.owners.DoubleTime(); d > overlap {
				t.Errorf("two owners for %v", d)
			}
			s.stop()
		})
	}
}

// stay fails the test if anything happens to the address for a while.
func stay(t *testing.T, s *site, h *lab.Host, since time.Time, d time.Duration) {
	t.Helper()
	time.Sleep(time.Until(since.Add(d)))
	if all := s.owners.Between(since, time.Time{}); len(all) != 1 || len(all[0].Owners) != 1 || all[0].Owners[0] != h.Name {
		t.Errorf("%s does not simply keep the address:\n%s", h.Name, all)
	}
}

// Web servers that refuse one balancer alone: its check finds that out, its listener answers 503, and the address moves.
func TestMembersRefuse(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	var refused atomic.Value
	refused.Store("")
	for _, h := range s.web {
		h.Origin(":8081", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if from, _, _ := net.SplitHostPort(r.RemoteAddr); from == refused.Load() {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}))
	}
	file := s.file(s.front("preempt = false", quickProbe))
	file = strings.ReplaceAll(file, `servers = ["10.0.0.21:8080", "10.0.0.22:8080"]`, `servers = ["10.0.0.21:8081", "10.0.0.22:8081"]
  check {
    http  = "/up"
    every = "100ms"
    fall  = 1
  }`)
	s.start(file)
	probe := s.visitor.Probe(page, lab.Probing{})
	probe.Answered(patience)
	refused.Store("10.0.0.11")
	s.owners.Wait(s.lb[1], patience)
	probe.Answered(patience)
	refused.Store("")
	s.ready(0)
	stay(t, s, s.lb[1], time.Now(), 500*time.Millisecond)
	r := probe.Stop()
	t.Logf("the visitor saw %s", r)
	s.stop()
}

// A check command decides: whether it fails, hangs or cannot even be started, and that is no reason to give the address to a
// node whose own check is no better.
func TestCheckCommand(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	dirs := []string{t.TempDir(), t.TempDir()}
	script := "#!/bin/sh\ncase $(cat $0.says) in good) exit 0;; bad) echo the uplink is down; exit 3;; hangs) sleep 1000;; esac\nexit 1\n"
	say := func(i int, word string) {
		t.Helper()
		mode := os.FileMode(0o755)
		if word == "not a program" {
			mode = 0o644
		}
		program := filepath.Join(dirs[i], "uplink")
		// It must not be written while it runs (ETXTBSY), hence in two files.
		for _, f := range []struct{ name, text string }{{program + ".says", word}, {program, script}} {
			if err := os.WriteFile(f.name+".new", []byte(f.text), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(f.name+".new", f.name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range s.lb {
		say(i, "good")
		s.launch(i, s.file(s.front("preempt = false", fmt.Sprintf(`check "uplink" {
    command = [%q]
    every   = "100ms"
    timeout = "1s"
    fall    = 2
  }`, filepath.Join(dirs[i], "uplink")))))
		s.ready(i)
		s.owners.Wait(s.lb[0], patience)
	}
	owner := 0
	for _, c := range []struct{ says, blame string }{
		{"bad", "the uplink is down"},
		{"hangs", "did not end within"},
		{"not a program", "permission denied"},
	} {
		say(owner, c.says)
		s.owners.Wait(s.lb[1-owner], patience)
		s.waits(owner, patience, "it says why", func(n status) bool { return strings.Contains(n.of("front").Unfit, c.blame) })
		say(owner, "good")
		s.ready(owner)
		owner = 1 - owner
		stay(t, s, s.lb[owner], time.Now(), 300*time.Millisecond)
	}
	// A check that is bad everywhere takes the address from nobody.
	since := time.Now()
	say(1-owner, "bad")
	s.waits(1-owner, patience, "it is unfit", func(n status) bool { return n.of("front").Fitness == "unfit" })
	say(owner, "bad")
	s.waits(owner, patience, "it is unfit", func(n status) bool { return n.of("front").Fitness == "unfit" })
	stay(t, s, s.lb[owner], since, time.Since(since)+500*time.Millisecond)
	if body, code, err := get(s.visitor, 80, "/", patience); body != "hello" || code != http.StatusOK {
		t.Errorf("it answers %d %q %v", code, body, err)
	}
	s.stop()
}
