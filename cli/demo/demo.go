// Package demo is the newcomer's door: three small site servers and a balancer in one process, which a visitor can kill and
// drain from a page or by typing, and watch.
//
// Start at [Run]. site.go is a server that can be killed, control.go what the page's buttons do, console.go the terminal,
// visitor.go the one who asks all the time. The balancer is the real engine with a real file (skein.hcl here), and drains go
// through its admin socket as those of `skein drain` do.
package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	_ "embed" // the file and the page

	"skein/admin"
	"skein/config"
	"skein/engine"
	"skein/policy"
)

// Options are the command's flags and streams.
type Options struct {
	Listen  string // loopback address of the balancer; "" is 127.0.0.1:8080, or another port if that is taken
	In      io.Reader
	Out     io.Writer
	Version string
}

//go:embed skein.hcl
var template string

// demo is what the parts share.
type demo struct {
	sites   []*site
	client  *admin.Client
	console *console
	file    string // the text of the configuration
	url     string // of the balancer
}

// Run shows the demonstration until ctx ends or the visitor has had enough.
func Run(ctx context.Context, o Options) (err error) {
	listen, err := address(o.Listen)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "skein-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	d := &demo{console: newConsole(o.Out), url: "http://" + listen}
	replacements := []string{"LISTEN", listen, "DIR", dir}
	for i, name := range []string{"one", "two", "three"} {
		s, err := newSite(name, i+1, d)
		if err != nil {
			return err
		}
		defer s.kill()
		d.sites = append(d.sites, s)
		replacements = append(replacements, strings.ToUpper(name), s.address)
	}
	control, err := d.serveControl()
	if err != nil {
		return err
	}
	defer control.Close()
	replacements = append(replacements, "CONTROL", control.Addr)
	d.file = strings.NewReplacer(replacements...).Replace(template)

	e, err := engine.New(ctx, engine.Options{
		Load: func() (*config.Config, error) {
			return config.Parse(filepath.Join(dir, "skein.hcl"), []byte(d.file), config.Options{Policies: policy.Names()})
		},
		Log:     d.console.engineLog(),
		Access:  io.Discard,
		Version: o.Version,
	})
	if err != nil {
		return err
	}
	socket := e.Config().Admin.Socket
	d.client = admin.NewClient(socket)

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	d.console.welcome(d, socket)
	visits := make(chan struct{})
	go func() { defer close(visits); d.visit(ctx) }()
	if o.In != nil {
		// It is not waited for: a read from a terminal cannot be ended.
		go d.obey(ctx, o.In, stop)
	}
	err = e.Run(ctx)
	stop()
	<-visits
	d.console.goodbye()
	return err
}

// address is where the balancer listens.
func address(listen string) (string, error) {
	if listen != "" {
		host, _, err := net.SplitHostPort(listen)
		if err != nil {
			return "", fmt.Errorf("listen %q: %w", listen, err)
		}
		// The page has buttons that kill.
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return "", fmt.Errorf("listen %q: the demonstration listens on loopback addresses only, such as 127.0.0.1:8080", listen)
		}
	}
	free := func(a string) (string, error) {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return "", err
		}
		defer l.Close()
		return l.Addr().String(), nil
	}
	a, err := free(cmp.Or(listen, "127.0.0.1:8080"))
	if err != nil && listen == "" {
		return free("127.0.0.1:0")
	}
	return a, err
}

// state is what the page shows of one server.
type state struct {
	Name    string `json:"name"`
	Number  int    `json:"number"`
	Address string `json:"address"`
	Alive   bool   `json:"alive"` // the server itself
	State   string `json:"state"` // what skein knows of it
	Drained bool   `json:"drained"`
	Active  int64  `json:"active"`
	Total   uint64 `json:"total"` // requests given to it
}

// states asks skein, as `skein status --json` would.
func (d *demo) states(ctx context.Context) ([]state, error) {
	s, err := d.client.Status(ctx)
	if err != nil {
		return nil, err
	}
	var all []state
	for _, p := range s.Pools {
		for _, m := range p.Members {
			if site := d.site(m.Server); site != nil {
				all = append(all, state{
					Name: site.name, Number: site.number, Address: site.address, Alive: site.alive(), State: m.State,
					Drained: strings.HasPrefix(m.State, "drain"), Active: m.Active, Total: m.Requests,
				})
			}
		}
	}
	return all, nil
}

// site finds a server by its name or number.
func (d *demo) site(name string) *site {
	for _, s := range d.sites {
		if name == s.name || name == fmt.Sprint(s.number) {
			return s
		}
	}
	return nil
}

// act does what a button or a typed command says.
func (d *demo) act(ctx context.Context, verb, name string) error {
	s := d.site(name)
	if s == nil {
		return fmt.Errorf("there is no server %q; there are 1, 2 and 3", name)
	}
	switch verb {
	case "kill":
		s.kill()
		d.console.event("server %s was killed: its socket and all its connections are gone", s.name)
	case "revive":
		if err := s.start(); err != nil {
			return err
		}
		d.console.event("server %s was started again; it gets work again when a check has found it well", s.name)
	case "drain":
		_, err := d.client.Drain(ctx, admin.DrainRequest{Name: s.name, Owner: "demo"})
		return hinted(err)
	case "ready":
		_, err := d.client.Ready(ctx, admin.ReadyRequest{Name: s.name, Owner: "demo"})
		return hinted(err)
	default:
		return fmt.Errorf("%q is none of kill, revive, drain and ready", verb)
	}
	return nil
}

// hinted leaves out the command line's hint, which does not help here.
func hinted(err error) error {
	var answer *admin.Error
	if errors.As(err, &answer) {
		return errors.New(answer.Failure.Error)
	}
	return err
}
