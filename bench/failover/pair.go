package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
	"skein/test/lab"
)

const (
	address  = "10.0.0.100"
	patience = 30 * time.Second
)

// machines are two balancers before two web servers, and a visitor, all in one network.
type machines struct {
	t       testing.TB
	lb      []*lab.Host
	visitor *lab.Host
	owners  *lab.Timeline
}

func newMachines(t testing.TB) *machines {
	l := lab.New(t)
	lan := l.Switch("lan")
	m := &machines{t: t}
	for i := range 2 {
		m.lb = append(m.lb, l.Host(fmt.Sprintf("lb%d", i+1), lan.Port(fmt.Sprintf("10.0.0.%d/24", 11+i))))
		l.Host(fmt.Sprintf("web%d", i+1), lan.Port(fmt.Sprintf("10.0.0.%d/24", 21+i))).Origin(":8080", nil)
	}
	m.visitor = l.Host("visitor", lan.Port("10.0.0.99/24"))
	m.owners = lab.Watch(address, m.lb...)
	return m
}

// owner is who has the address; it waits until that is one.
func (m *machines) owner() int {
	var names []string
	harness.Eventually(m.t, patience, "one owner", func() bool {
		names = m.owners.Owners(time.Now())
		return len(names) == 1
	})
	if names[0] == m.lb[0].Name {
		return 0
	}
	return 1
}

// pair is a program, or two, on two machines.
type pair interface {
	name() string
	on() *machines
	config() (name, text string)

	start(i int)     // everything, and wait until it could own the address
	settle(i int)    // wait for that
	kill(i int)      // kill -9 of what balances
	revive(i int)    // start that again
	freeze(i int)    // SIGSTOP of what balances
	thaw(i int)      // and its end
	freezeAll(i int) // SIGSTOP of everything
	thawAll(i int)   // and its end
	stop(i int)      // everything, politely, and wait for the end
	dead(i int)      // all processes have been killed: clean up
	end()            // of the comparison, in no time
}

// skeins is a pair of skeins.
type skeins struct {
	*machines

	file string
	run  [2]*lab.Skein
}

func newSkeins(t testing.TB) *skeins {
	return &skeins{machines: newMachines(t), file: `servers = {
  lb1 = "10.0.0.11"
  lb2 = "10.0.0.12"
}
vip "front" {
  address = "10.0.0.100/24"
  nodes   = [server.lb1, server.lb2]
  preempt = false
}
http "site" {
  listen  = ":80"
  servers = ["10.0.0.21:8080", "10.0.0.22:8080"]
}
log {
  access = "off"
}
`}
}

func (s *skeins) name() string             { return "skein" }
func (s *skeins) on() *machines            { return s.machines }
func (s *skeins) config() (string, string) { return "skein", s.file }

func (s *skeins) start(i int) {
	s.run[i] = s.lb[i].Skein(s.file)
	s.settle(i)
}

func (s *skeins) revive(i int) { s.start(i) }

func (s *skeins) settle(i int) {
	harness.Eventually(s.t, patience, "skein is ready in "+s.lb[i].Name, func() bool {
		return s.run[i].Metric("skein_vip_fit") == 1 &&
			s.run[i].Metric("skein_vip_state", `state="backup"`)+s.run[i].Metric("skein_vip_state", `state="master"`) == 1
	})
}

func (s *skeins) kill(i int)      { s.run[i].Kill() }
func (s *skeins) freeze(i int)    { s.run[i].Freeze() }
func (s *skeins) thaw(i int)      { s.run[i].Thaw() }
func (s *skeins) freezeAll(i int) { s.run[i].FreezeAll() }
func (s *skeins) thawAll(i int)   { s.run[i].ThawAll() }
func (s *skeins) dead(i int)      { s.run[i].Kill() }
func (s *skeins) end()            { s.run[0].KillAll(); s.run[1].KillAll() }

func (s *skeins) stop(i int) {
	s.run[i].Signal(syscall.SIGTERM)
	s.run[i].Stopped(patience)
}

// classics is keepalived and nginx on two machines. As is usual, keepalived looks once a second whether nginx is there.
type classics struct {
	*machines

	dir   string
	nginx [2]*lab.Program
	vrrp  [2]*lab.Daemon
}

func newClassics(t testing.TB) *classics {
	c := &classics{machines: newMachines(t), dir: t.TempDir()}
	for i := range c.lb {
		dir := c.home(i)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(c.nginxConfig(dir)), 0o644); err != nil {
			t.Fatal(err)
		}
		// killall -0 nginx, but hosts of the lab share their processes.
		script := "#!/bin/sh\nread pid < " + dir + "/nginx.pid && kill -0 $pid\n"
		if err := os.WriteFile(filepath.Join(dir, "alive"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *classics) home(i int) string { return filepath.Join(c.dir, c.lb[i].Name) }

func (c *classics) nginxConfig(dir string) string {
	return `daemon off;
pid ` + dir + `/nginx.pid;
error_log ` + dir + `/error.log;
worker_processes auto;
events {
    worker_connections 4096;
}
http {
    access_log off;
    client_body_temp_path ` + dir + `/body;
    proxy_temp_path ` + dir + `/proxy;
    fastcgi_temp_path ` + dir + `/fastcgi;
    uwsgi_temp_path ` + dir + `/uwsgi;
    scgi_temp_path ` + dir + `/scgi;
    upstream site {
        server 10.0.0.21:8080;
        server 10.0.0.22:8080;
        keepalive 32;
    }
    server {
        listen 80;
        location / {
            proxy_pass http://site;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
}
`
}

func (c *classics) vrrpConfig(i int) string {
	return fmt.Sprintf(`global_defs {
    router_id %s
    script_user root
    enable_script_security
    vrrp_version 3
}
vrrp_script nginx {
    script "%s/alive"
    interval 1
}
vrrp_instance front {
    state BACKUP
    nopreempt
    interface eth0
    virtual_router_id 100
    priority %d
    advert_int 0.1
    unicast_src_ip 10.0.0.%d
    unicast_peer {
        10.0.0.%d
    }
    virtual_ipaddress {
        10.0.0.100/24
    }
    track_script {
        nginx
    }
}
`, c.lb[i].Name, c.home(i), 200-10*i, 11+i, 12-i)
}

func (c *classics) name() string  { return "keepalived + nginx" }
func (c *classics) on() *machines { return c.machines }

func (c *classics) config() (string, string) {
	return c.name(), c.vrrpConfig(0) + "\n" + c.nginxConfig(c.home(0))
}

func (c *classics) start(i int) {
	c.serve(i)
	c.vrrp[i] = lab.Keepalived(c.lb[i], c.vrrpConfig(i))
	c.settle(i)
}

// serve starts nginx, and waits until it does.
func (c *classics) serve(i int) {
	c.nginx[i] = c.lb[i].Start(harness.Need(c.t, "nginx", "nginx"), "-c", filepath.Join(c.home(i), "nginx.conf"), "-p", c.home(i))
	harness.Eventually(c.t, patience, "nginx serves in "+c.lb[i].Name, func() bool {
		return c.lb[i].Do(func() error {
			p, err := dial("10.0.0." + fmt.Sprint(11+i) + ":80")
			if err == nil {
				p.Close()
			}
			return err
		}) == nil
	})
}

func (c *classics) revive(i int) {
	c.serve(i)
	c.settle(i)
}

func (c *classics) settle(i int) {
	harness.Eventually(c.t, patience, "keepalived is ready in "+c.lb[i].Name, func() bool {
		all := c.vrrp[i].Transitions()
		return len(all) > 0 && all[len(all)-1].State != "FAULT"
	})
}

func (c *classics) kill(i int)   { c.nginx[i].Kill() }
func (c *classics) freeze(i int) { c.nginx[i].Freeze() }
func (c *classics) thaw(i int)   { c.nginx[i].Thaw() }
func (c *classics) dead(i int)   { c.nginx[i].Kill(); c.vrrp[i].Kill() }

// end leaves it to the lab.
func (c *classics) end() {}

func (c *classics) freezeAll(i int) {
	c.vrrp[i].Freeze()
	c.nginx[i].Freeze()
}

func (c *classics) thawAll(i int) {
	c.nginx[i].Thaw()
	c.vrrp[i].Thaw()
}

// stop lets keepalived give the address up first, and then nginx finish what it has, for five seconds as Debian's unit does.
func (c *classics) stop(i int) {
	c.vrrp[i].Stop()
	c.nginx[i].Signal(syscall.SIGQUIT)
	harness.Soon(5*time.Second, func() bool { return !c.nginx[i].Running() })
	c.nginx[i].Kill()
}
