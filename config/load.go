package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"
)

// Options are what a file is read with. The zero value reads it as a machine without a name.
type Options struct {
	Policies []string     // names of the policies that exist; empty leaves them unchecked
	Node     string       // this node's name if the command line gives one
	Hostname string       // this machine's
	Addrs    []netip.Addr // this machine's

	// Elsewhere checks the file for a node that is not this machine: env, file and secret are not judged then, as only
	// that node has them. The Config of such a Load must not be run.
	Elsewhere bool

	Env        func(name string) (string, bool)  // nil is the process's environment
	ReadFile   func(path string) ([]byte, error) // nil is the file system; the configuration itself and what it includes
	SecretDirs []string                          // nil is $CREDENTIALS_DIRECTORY and /etc/skein/secrets
}

func (o *Options) env(name string) (string, bool) {
	if o.Env == nil {
		return os.LookupEnv(name)
	}
	return o.Env(name)
}

func (o *Options) read(path string, most int64) ([]byte, error) {
	if o.ReadFile == nil {
		return readRegular(path, most)
	}
	return o.ReadFile(path)
}

func (o *Options) secretDirs() []string {
	if o.SecretDirs != nil {
		return o.SecretDirs
	}
	dirs := []string{"/etc/skein/secrets"}
	if d, ok := o.env("CREDENTIALS_DIRECTORY"); ok && d != "" {
		dirs = append([]string{d}, dirs...) // systemd's come first: they are given to this service alone
	}
	return dirs
}

// Load reads a file. The error is a [*Diagnostics] with every mistake, also if the file cannot be read at all.
// A name that ends in .json is the JSON twin.
func Load(file string, o Options) (*Config, error) {
	src, err := o.read(file, maxFile)
	if err != nil {
		detail := fmt.Sprintf("%s.", err)
		if errors.Is(err, fs.ErrNotExist) {
			detail += " Name the file, as in: skein run /etc/skein/skein.hcl"
		}
		return nil, &Diagnostics{Problems: []Problem{{
			Severity: SeverityError, Summary: "File not readable", Detail: detail, File: file, Line: 1, Column: 1,
		}}}
	}
	return Parse(file, src, o)
}

// Parse is Load for a source in memory; name is used in errors and as the place that paths are relative to.
func Parse(name string, src []byte, o Options) (*Config, error) {
	d := newDecoder(name, src, o)
	root := d.parse()
	if root == nil {
		return nil, d.err()
	}
	d.block = contexts(root)
	c := d.file(root)
	if err := d.err(); err != nil {
		return nil, err
	}
	c.Warnings = d.finish()
	c.Hash = d.hash()
	return c, nil
}

// CheckAll checks a file as each node that one of its blocks is placed on, and returns the warnings. The node that this
// machine is (by Options) is judged in full, the others as [Options.Elsewhere].
func CheckAll(file string, o Options) ([]Problem, error) {
	var all *Diagnostics
	c, err := Load(file, o)
	if errors.As(err, &all) && slices.ContainsFunc(all.Problems, isNoNode) {
		// A machine that is no node of the file may well check it, but it has not what the nodes have.
		o.Elsewhere = true
		c, err = Load(file, o)
	}
	if err != nil && !errors.As(err, &all) {
		return nil, err
	}
	var warnings, problems []Problem
	if err != nil {
		problems = all.Problems
	}
	here := ""
	if c != nil {
		warnings, here = c.Warnings, c.Node
	}
	// What differs between nodes is the set of blocks that are placed there, so one node of each set is enough.
	for _, node := range representatives(file, o) {
		if node == here {
			continue
		}
		other := o
		other.Node, other.Elsewhere = node, true
		c, err := Load(file, other)
		var more *Diagnostics
		switch {
		case err == nil:
			warnings = merge(warnings, c.Warnings)
		case errors.As(err, &more):
			problems = merge(problems, more.Problems)
		default:
			return nil, err
		}
	}
	problems = slices.DeleteFunc(problems, isNoNode)
	if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Severity == SeverityError }) {
		return merge(warnings, problems), nil
	}
	return nil, &Diagnostics{Problems: problems}
}

// merge adds the problems of b that a has not.
func merge(a, b []Problem) []Problem {
	for _, p := range b {
		if !slices.ContainsFunc(a, func(q Problem) bool { return same(p, q) }) {
			a = append(a, p)
		}
	}
	return a
}

func newDecoder(name string, src []byte, o Options) *decoder {
	return &decoder{
		report: report{name: name, src: src}, o: o, lang: languageByPath(),
		secrets: map[string]string{}, included: map[string][]byte{}, files: map[string][]byte{},
		names: map[string]named{}, servers: map[string]*Server{}, regions: map[string][]*Server{},
		literal: map[string]*Server{}, pools: map[string]*pooled{}, certs: map[string]*certified{},
	}
}

// parse makes the tree of the source; nil is reported.
func (d *decoder) parse() *body {
	start := hcl.Range{Filename: d.name, Start: hcl.InitialPos, End: hcl.InitialPos}
	if len(d.src) > maxFile {
		d.fail(start, "File too large", "A configuration file has at most %s.", showSize(maxFile))
		return nil
	}
	if strings.HasSuffix(d.name, ".json") {
		return d.parseJSON(start)
	}
	if !d.guard() {
		return nil
	}
	f, diags := hclsyntax.ParseConfig(d.src, d.name, hcl.InitialPos)
	if diags.HasErrors() {
		d.addHCL(diags)
		d.block = d.brokenContexts(f)
		return nil
	}
	return d.fromHCL(f.Body.(*hclsyntax.Body), "", start, d.newScope())
}

// brokenContexts names the blocks of a file that does not parse, as far as the parser came. What the half of a tree would
// say about names is not reported: it may be wrong.
func (d *decoder) brokenContexts(f *hcl.File) func(offset int) string {
	if f == nil {
		return nil
	}
	b, ok := f.Body.(*hclsyntax.Body)
	if !ok || b == nil {
		return nil
	}
	silent := newDecoder(d.name, nil, Options{})
	return contexts(silent.fromHCL(b, "", hcl.Range{}, &scope{}))
}

func (d *decoder) parseJSON(start hcl.Range) *body {
	if at := guardJSON(d.src, d.name); at != nil {
		d.fail(*at, "Nested too deep", "Brackets are nested more than %d deep.", maxDepth)
		return nil
	}
	f, diags := json.Parse(d.src, d.name)
	if diags.HasErrors() {
		d.addHCL(diags)
		return nil
	}
	attrs, diags := f.Body.JustAttributes()
	if diags.HasErrors() {
		d.addHCL(diags)
		return nil
	}
	var props []hcl.KeyValuePair
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		a := attrs[name]
		props = append(props, hcl.KeyValuePair{Key: hcl.StaticExpr(textValue(name), a.NameRange), Value: a.Expr})
	}
	return d.fromJSON(props, "", start, d.newScope())
}

// file reads the top level. Servers come first, as all else refers to them; which blocks are placed here is known before
// any of them is read, and pools and certificates come last, as only the blocks say which of them this node needs.
func (d *decoder) file(root *body) *Config {
	c := &Config{File: d.name}
	d.readServers(root, c)
	c.State = root.filePath("state", d.statePath())
	https, vips := root.all("http"), root.all("vip")
	placed := d.place(slices.Concat(https, vips), c)
	d.namePools(root.all("pool"))
	d.nameTLS(root.all("tls"))
	acme := root.one("acme")
	d.readACME(acme, https, placed, c)
	blocks := d.readHTTP(https, placed, c)
	moving := d.readVIPs(vips, placed[len(https):], c)
	d.readPools(root.all("pool"), c)
	d.readTLS(root.all("tls"), c)
	for _, p := range blocks {
		d.covered(p)
	}
	d.senders()
	slices.SortStableFunc(c.Pools, func(a, b *Pool) int { return cmp.Compare(a.Pos.Line, b.Pos.Line) })
	c.Servers = append(c.Servers, d.literalServers(c.Pools)...)
	c.Admin = d.readAdmin(root.one("admin"))
	c.Log = d.readLog(root.one("log"))
	d.listeners(blocks, root.one("admin"), c.Admin)
	d.acmePort(acme, blocks, c)
	d.loops(blocks, c.VIPs)
	d.vipListeners(blocks, moving)
	switch {
	case len(https) > 0 || d.errors > 0:
	case len(vips) > 0:
		d.warn(root.at, "Nothing listens", "The file has no http block: the addresses of its vips move between the nodes, but Skein serves nothing on them.")
	default:
		d.warn(root.at, "Nothing to do", "The file has no http block, so nothing listens.")
	}
	return c
}

// filePath reads a path that is relative to the file.
func (b *body) filePath(key, def string) string {
	s := b.str(key, "")
	switch {
	case b.has(key) && s == "":
		if v := b.value(key); v.kind == text && !v.secret {
			detail := key + " needs a path."
			if def != "" {
				detail = key + " needs a path; leave the key out to have its default."
			}
			b.d.fail(v.at, "Empty path", "%s", detail)
		}
		return def
	case !b.has(key):
		return def
	}
	return b.d.absolute(s)
}

// rooted makes a path of the file absolute, for what another program gets to see.
func (d *decoder) rooted(path string) string {
	path = d.absolute(path)
	if a, err := filepath.Abs(path); err == nil { // it fails only where the working directory was deleted
		return a
	}
	return path
}

// hash is over the source and all that came into it from outside.
func (d *decoder) hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n", len(d.src))
	h.Write(d.src)
	for _, name := range slices.Sorted(maps.Keys(d.included)) {
		fmt.Fprintf(h, "%d %q %x\n", len(name), name, d.included[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// absolute makes a path of the file absolute to where the program runs.
func (d *decoder) absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(d.name), path)
}
