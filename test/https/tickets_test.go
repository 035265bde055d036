package https

import (
	"crypto/tls"
	"strings"
	"testing"

	"skein/test/harness"
)

// Processes with the same secret resume each other's sessions, with a rotated list too; others do not.
func TestTicketsOfAnotherProcess(t *testing.T) {
	t.Parallel()
	c, origin := newCA(t, "test CA"), hello(t)
	cert := c.server(host).block("site")
	keys := secrets(t, map[string]string{"old": strings.Repeat("old secret", 5), "new": strings.Repeat("new secret", 5), "other": strings.Repeat("other one!", 5)})
	addrs := map[string]string{}
	for name, tickets := range map[string]string{
		"a": `secret("old")`, "b": `secret("old")`, "rotated": `secret("new"), secret("old")`, "behind": `secret("old"), secret("new")`,
		"after": `secret("new")`, "other": `secret("other")`, "none": "", "none too": "",
	} {
		addrs[name] = harness.FreeAddr(t)
		more := "https {\n tickets = [" + tickets + "]\n}"
		if tickets == "" {
			more = ""
		}
		harness.Start(t, cert+block1(addrs[name], origin, more)+quiet, keys)
	}
	for _, test := range []struct {
		from, to string
		resumes  bool
	}{
		{"a", "a", true},
		{"a", "b", true},
		{"a", "rotated", true},
		{"rotated", "a", false},
		{"rotated", "behind", true},
		{"behind", "rotated", true},
		{"rotated", "after", true},
		{"a", "after", false},
		{"a", "other", false},
		{"a", "none", false},
		{"none", "none", true},
		{"none", "none too", false},
		{"none", "a", false},
	} {
		for name, version := range versions() {
			config := &tls.Config{
				RootCAs: c.pool(), ServerName: host, MinVersion: version, MaxVersion: version,
				ClientSessionCache: tls.NewLRUClientSessionCache(1),
			}
			if _, _, err := ask(addrs[test.from], config, host, "/"); err != nil {
				t.Fatal(err)
			}
			a, state, err := ask(addrs[test.to], config, host, "/")
			if err != nil || a.body != "hello" || state.DidResume != test.resumes {
				t.Errorf("TLS %s: a session of %q at %q was resumed: %v, %v; want %v", name, test.from, test.to, state.DidResume, err, test.resumes)
			}
		}
	}
}
