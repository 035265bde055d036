// Package reload tests the two promises of a reload: it happens as a whole or not at all, and it disturbs nothing that has not
// changed. And what belongs to them: signals, drains that survive a restart, the access log's file, the end of the process.
package reload

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"skein/test/harness"
)

// file is a configuration of one pool "web" and one http block "site".
type file struct {
	addr    string
	servers []*harness.Named
	pool    string // more of the pool
	block   string // more of the http block
	more    string // more of the file
}

func (f file) String() string {
	var servers, members []string
	for _, o := range f.servers {
		servers = append(servers, fmt.Sprintf("  %s = %q", o.Name, o.Addr))
		members = append(members, "server."+o.Name)
	}
	return fmt.Sprintf(`
servers = {
%s
}
pool "web" {
  servers = [%s]
  %s
}
http "site" {
  listen = %q
  pool   = pool.web
  %s
}
%s
`, strings.Join(servers, "\n"), strings.Join(members, ", "), f.pool, f.addr, f.block, f.more)
}

func newFile(t *testing.T, names ...string) file {
	t.Helper()
	return file{addr: harness.FreeAddr(t), servers: harness.Names(t, names...)}
}

// member is what the tests look at of a member's status.
type member struct {
	Server    string   `json:"server"`
	State     string   `json:"state"`
	Reasons   []string `json:"reasons"`
	Weight    int      `json:"weight"`
	Requests  uint64   `json:"requests"`
	Connects  uint64   `json:"connects"`
	Ejections uint64   `json:"ejections"`
}

// members are those of a skein's first pool.
func members(t *testing.T, s *harness.Skein) map[string]member {
	t.Helper()
	var v struct {
		Pools []struct {
			Members []member `json:"members"`
		} `json:"pools"`
	}
	if err := json.Unmarshal([]byte(s.Admin("/api/v1/status")), &v); err != nil || len(v.Pools) == 0 {
		t.Fatalf("status: %+v %v", v, err)
	}
	all := map[string]member{}
	for _, m := range v.Pools[0].Members {
		all[m.Server] = m
	}
	return all
}

// good fails the test unless this origin gives the answer.
func good(t *testing.T, a *harness.Answer, origin string) {
	t.Helper()
	if got := a.Header.Get("X-Origin"); a.Status != 200 || got != origin || a.Err != nil {
		t.Errorf("answer = %d of %q (%v), want 200 of %s", a.Status, got, a.Err, origin)
	}
}
