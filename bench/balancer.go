package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"skein/cli"
)

const (
	// balancerCommand is skein in this program, with a goroutine beside it that would like to be on time. The product itself has no
	// such thing, nor a hook for it.
	balancerCommand = "lateness-balancer"
	// speakCommand is what skein starts as its speaker, by the path of its own program.
	speakCommand = "speak"
	// humbleCommand starts a program that may not have real-time priority.
	humbleCommand = "humble-process"
)

// balancerMain is the process that serves and sends.
func balancerMain(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := net.Dial("udp4", goroutineTarget)
	if err != nil {
		return err
	}
	defer c.Close()
	go func() {
		due := time.Now()
		t := time.NewTimer(0)
		for {
			<-t.C
			if _, err := c.Write([]byte("on time?")); errors.Is(err, net.ErrClosed) {
				return
			} // a refusal is the far host's answer to the one before
			for due = due.Add(beat); time.Until(due) <= 0; { // as the speaker does
				due = due.Add(beat)
			}
			t.Reset(time.Until(due))
		}
	}()
	if code := cli.Run(ctx, cli.System(), args); code != cli.Done {
		return fmt.Errorf("exit code %d", code)
	}
	return nil
}

// speakMain is the speaker of such a process.
func speakMain(args []string) {
	os.Exit(cli.Run(context.Background(), cli.System(), args))
}

// humbleMain turns this process into another program without CAP_SYS_NICE.
func humbleMain(args []string) error {
	if len(args) == 0 {
		return errors.New("humble process without a program")
	}
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_NICE, 0, 0, 0); err != nil {
		return fmt.Errorf("give up CAP_SYS_NICE: %w", err)
	}
	return fmt.Errorf("run %s: %w", args[0], syscall.Exec(args[0], args, os.Environ()))
}

// balancer is skein with a virtual address.
type balancer struct {
	*process
	address string // where visitors come
	socket  string
}

// startBalancer starts it on one side: program and its arguments, to which "run FILE" is added.
func (h *harness) startBalancer(n *network, s side, realtime bool, argv ...string) (*balancer, error) {
	h.started++
	dir := filepath.Join(h.dir, fmt.Sprintf("%d-balancer", h.started))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	b := &balancer{address: "127.0.0.1:8080", socket: filepath.Join(dir, "admin.sock")}
	// A process has 20,000 descriptors in many places: those of 10,000 visitors, and of so many requests at once to the member.
	file := filepath.Join(dir, "skein.hcl")
	if err := os.WriteFile(file, fmt.Appendf(nil, `servers = {
  lb1 = %q
  lb2 = %q
}
vip "front" {
  address   = %q
  router_id = %d
  interval  = "100ms"
  nodes     = [server.lb1, server.lb2]
}
pool "site" {
  servers       = ["127.0.0.1:%d"]
  keepalive     = 2000
  max_conns     = 2000
  queue         = 15000
  queue_timeout = "60s"
}
http "site" {
  listen = ":8080"
  pool   = pool.site
}
log {
  access = "off"
}
state = %q
admin {
  socket = %q
}
`, nearAddress, farAddress, skeinVirtual, skeinRouter, h.port, filepath.Join(dir, "state"), b.socket), 0o644); err != nil {
		return nil, err
	}
	argv = append(argv, "run", file)
	if !realtime {
		argv = append([]string{h.self, humbleCommand}, argv...)
	}
	err := n.at(s, func() (err error) {
		b.process, err = start(h.self, "balancer", dir, anyCore, nil, nil, nil, argv...)
		return err
	})
	return b, err
}

// balancerStatus is what is wanted of the admin API.
type balancerStatus struct {
	VIPs    []struct{ State string }
	Speaker struct {
		PID       int
		Realtime  bool
		Beats     int
		BeatsLate int     `json:"beats_late"`
		BeatMax   float64 `json:"beat_max_seconds"`
	}
}

func (b *balancer) status(ctx context.Context) (balancerStatus, error) {
	var s balancerStatus
	client := http.Client{Timeout: stalled, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", b.socket)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://skein/api/v1/status", nil)
	if err != nil {
		return s, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return s, fmt.Errorf("ask the balancer: %w", err)
	}
	defer answer.Body.Close()
	return s, json.NewDecoder(answer.Body).Decode(&s)
}

// reaches waits until its address is in a state.
func (b *balancer) reaches(ctx context.Context, state string) (balancerStatus, error) {
	for end := time.Now().Add(stalled); ; {
		s, err := b.status(ctx)
		if err == nil && len(s.VIPs) == 1 && s.VIPs[0].State == state {
			return s, nil
		}
		if time.Now().After(end) {
			return s, b.explain(fmt.Sprintf("is not %s after %v: %+v %v", state, stalled, s, err))
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (b *balancer) isMaster(ctx context.Context) error {
	_, err := b.reaches(ctx, "master")
	return err
}

// beats is how punctual the balancer's own process was, and whether its speaker has real-time priority.
func (b *balancer) beats(ctx context.Context) (text string, realtime bool, err error) {
	s, err := b.status(ctx)
	if err != nil {
		return "", false, err
	}
	return fmt.Sprintf("%d of %d more than 50 ms late, at most %.0f ms", s.Speaker.BeatsLate, s.Speaker.Beats, 1000*s.Speaker.BeatMax), s.Speaker.Realtime, nil
}

// keepalivedProgram is what Debian has.
func keepalivedProgram() proxy {
	return proxy{name: "keepalived", program: "keepalived", from: "apt install keepalived", version: []string{"--version"}}
}

// startKeepalived starts keepalived on one side. It is started in our network only.
func (h *harness) startKeepalived(n *network, s side, realtime bool) (*process, error) {
	program := keepalivedProgram()
	if _, err := program.find(); err != nil {
		return nil, err
	}
	h.started++
	dir := filepath.Join(h.dir, fmt.Sprintf("%d-keepalived", h.started))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	own, other, priority, extra := nearAddress, farAddress, 200, ""
	if s == far {
		own, other, priority = farAddress, nearAddress, 190
	}
	if realtime {
		extra = "  vrrp_rt_priority 1\n"
	}
	file := filepath.Join(dir, "keepalived.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, `global_defs {
%s}
vrrp_instance front {
  version 3
  state BACKUP
  interface %s
  virtual_router_id %d
  priority %d
  advert_int 0.1
  unicast_src_ip %s
  unicast_peer {
    %s
  }
  virtual_ipaddress {
    %s
  }
}
`, extra, cableName, daemonRouter, priority, own, other, daemonVirtual), 0o600); err != nil {
		return nil, err
	}
	var p *process
	err := n.at(s, func() (err error) {
		p, err = start(h.self, "keepalived", dir, anyCore, nil, nil, nil, append([]string{program.program}, strings.Fields("-n -l -D -P -f "+file+
			" -p "+filepath.Join(dir, "keepalived.pid")+" -r "+filepath.Join(dir, "vrrp.pid"))...)...)
		return err
	})
	return p, err
}
