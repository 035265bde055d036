package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../examples/*.hcl")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	return files
}

// exampleOptions gives every example the certificates that it names, as no key belongs into a repository.
func exampleOptions(t *testing.T) Options {
	t.Helper()
	cert, key := testPair(t, time.Now().Add(time.Hour), "shop.example.com", "*.shop.example.com")
	return Options{Policies: policies(), Node: "lb1", SecretDirs: exampleSecrets(t), ReadFile: func(path string) ([]byte, error) {
		data, err := readRegular(path, maxFile)
		switch ext := filepath.Ext(path); {
		case err == nil:
			return data, nil
		case ext == ".pem":
			return cert, nil
		case ext == ".key":
			return key, nil
		}
		return nil, err
	}}
}

// exampleSecrets makes the secrets that examples name.
func exampleSecrets(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	for name, s := range map[string]string{
		"eab": "c2VjcmV0", "vrrp": "password", "db": "password", "tickets": strings.Repeat("new", 20), "tickets-old": strings.Repeat("old", 20),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{dir}
}

func TestExamplesLoad(t *testing.T) {
	for _, file := range examples(t) {
		c, err := Load(file, exampleOptions(t))
		if err != nil {
			t.Errorf("%s:\n%v", file, err)
			continue
		}
		for _, w := range c.Warnings {
			if w.Summary != "Directory not there" { // nor need it be there on any machine but the reader's
				t.Errorf("%s:\n%s", file, Text([]Problem{w}))
			}
		}
		o := exampleOptions(t)
		o.Node = ""
		if _, err := CheckAll(file, o); err != nil {
			t.Errorf("CheckAll(%s):\n%v", file, err)
		}
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Format(file, src); err != nil || string(got) != string(src) {
			t.Errorf("%s is not laid out as skein fmt does (%v):\n%s", file, err, cmp.Diff(string(src), string(got)))
		}
	}
}

// samePlaces ignores what two files can never have in common.
func samePlaces() cmp.Option {
	return cmp.Options{cmpopts.IgnoreTypes(Pos{}), cmpopts.IgnoreFields(Config{}, "File", "Hash", "Warnings"), cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}
}

func TestJSONTwin(t *testing.T) {
	o := exampleOptions(t)
	for _, file := range examples(t) {
		want, err := Load(file, o)
		if err != nil {
			t.Fatal(err)
		}
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		twin := toJSON(t, src)
		got, err := Parse(strings.TrimSuffix(file, ".hcl")+".json", twin, o)
		if err != nil {
			t.Errorf("%s as JSON:\n%v\n%s", file, err, twin)
			continue
		}
		if diff := cmp.Diff(want, got, samePlaces()); diff != "" {
			t.Errorf("%s differs from its JSON twin (-hcl +json):\n%s", file, diff)
		}
	}
}

// TestEverything walks the language: examples/everything.hcl must have each key and block.
func TestEverything(t *testing.T) {
	const file = "../examples/everything.hcl"
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, diags := hclsyntax.ParseConfig(src, file, hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	found := map[string]bool{}
	var walk func(b *hclsyntax.Body, path string)
	walk = func(b *hclsyntax.Body, path string) {
		for name := range b.Attributes {
			found[child(path, name)] = true
		}
		for _, c := range b.Blocks {
			found[child(path, c.Type)] = true
			walk(c.Body, child(path, c.Type))
		}
	}
	walk(f.Body.(*hclsyntax.Body), "")
	for _, b := range Language() {
		for _, k := range b.Keys {
			if !found[child(b.Path, k.Name)] {
				t.Errorf("%s lacks %s", file, child(b.Path, k.Name))
			}
		}
		for _, kind := range b.Blocks {
			if !found[child(b.Path, kind)] {
				t.Errorf("%s lacks the block %s", file, child(b.Path, kind))
			}
		}
	}
}

// TestDefaults writes each documented default into a file: it must change nothing.
func TestDefaults(t *testing.T) {
	// wrap puts a line into a block of a file that has everything needed around it.
	wrap := func(path, line string) string {
		in := map[string]string{}
		in[path] = line
		block := func(path, head, more string) string {
			if in[path] == "" && more == "" {
				return ""
			}
			return head + " {\n" + more + in[path] + "\n}\n"
		}
		check := `http = "/up"` + "\n"
		if path == "pool.check" && strings.HasPrefix(line, "ca ") {
			check = `https = "/up"` + "\n"
		}
		pool := `servers = ["10.0.0.1:80"]` + "\n"
		files := ""
		if strings.HasSuffix(path, ".files") { // their defaults are those of a fastcgi pool
			check, files = "tcp = true\n", "root = \"/srv\"\n"
			pool += "protocol = \"fastcgi\"\n"
		}
		routeFiles := ""
		if path == "http.route.files" {
			routeFiles = files
		}
		if path == "pool" && strings.HasPrefix(line, "key ") {
			pool += "policy = \"hash\"\n"
		}
		headers := func(path string) string {
			return block(path+".request_headers", "request_headers", "add = { X-A = \"1\" }\n") +
				block(path+".response_headers", "response_headers", "set = { X-A = \"1\" }\n")
		}
		if strings.HasSuffix(path, "_headers") {
			headers = func(path string) string {
				return block(path+".request_headers", "request_headers", "") + block(path+".response_headers", "response_headers", "")
			}
		}
		return in[""] + "\nservers = { a = \"10.0.0.9\", b = \"10.0.0.10\" }\n" + block("server", `server "a"`, "") +
			block("pool", `pool "web"`, pool+
				block("pool.tls", "tls", "")+block("pool.sticky", "sticky", "domain = \"example.com\"\n")+block("pool.check", "check", check)+
				block("pool.eject", "eject", "")+block("pool.retry", "retry", "")+block("pool.timeouts", "timeouts", "")) +
			block("acme", "acme", "email = \"ops@example.com\"\n") +
			block("http", `http "site"`, "listen = \":80\"\npool = pool.web\ntls = \"acme\"\nhosts = [\"a.example.com\"]\n"+headers("http")+
				block("http.https", "https", "")+block("http.files", "files", files)+block("http.compress", "compress", "")+
				block("http.limits", "limits", "")+block("http.timeouts", "timeouts", "")+
				block("http.route", `route "/a"`, headers("http.route")+block("http.route.files", "files", routeFiles)+block("http.route.compress", "compress", "")+
					block("http.route.timeouts", "timeouts", "idle = \"1s\"\n"))) +
			block("vip", `vip "front"`, "address = \"10.0.0.99/24\"\nnodes = [server.a, server.b]\n"+block("vip.probe", "probe", "")+
				block("vip.check", `check "link"`, "command = \"/bin/true\"\n")) +
			block("admin", "admin", "") + block("log", "log", "")
	}
	// An empty list would mean something else than a missing key in the first two, so the language refuses it there.
	// TestRedirect has the third, which needs another route.
	written := []string{"http.hosts", "http.route.methods", "http.route.status"}
	n := 0
	for _, b := range Language() {
		for _, k := range b.Keys {
			path := child(b.Path, k.Name)
			if k.Default == "" || slices.Contains(written, path) || b.Path == "" || b.Path == "region" {
				continue
			}
			want, err := Parse("a.hcl", []byte(wrap(b.Path, "# nothing")), Options{Node: "a"})
			if err != nil {
				t.Fatal(err)
			}
			if path == "pool.key" { // it needs another policy
				base := wrap(b.Path, k.Name+" = "+k.Default)
				base = strings.Replace(base, k.Name+" = "+k.Default, "", 1)
				if want, err = Parse("a.hcl", []byte(base), Options{Node: "a"}); err != nil {
					t.Fatal(err)
				}
			}
			src := wrap(b.Path, k.Name+" = "+k.Default)
			got, err := Parse("a.hcl", []byte(src), Options{Node: "a"})
			if err != nil {
				t.Errorf("%s = %s:\n%v", path, k.Default, err)
				continue
			}
			n++
			if diff := cmp.Diff(want, got, samePlaces()); diff != "" {
				t.Errorf("%s: the default is not %s (-default +written):\n%s", path, k.Default, diff)
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d defaults were compared", n)
	}
}
