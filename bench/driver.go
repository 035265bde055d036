package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const driverCommand = "driver-process"

const (
	maxErrors = 20               // a run that has so many ends
	maxWarmup = 30 * time.Second // however many requests were wanted
	stalled   = 10 * time.Second // without any event: the proxy hangs
)

// driver puts one load on one proxy, in one thread. What its modes do differently is in closed.go, open.go and idle.go.
type driver struct {
	load     Load
	poll     *poller
	meter    *meter
	target   *unix.SockaddrInet4
	requests [][]byte // made beforehand; next is the index of the following one
	next     int
	want     []byte // the body that must come
	scratch  []byte
	clients  []client
	result   Result
	latency  histogram

	// answered is told of every complete and correct answer.
	answered func(*client) error
}

func newDriver(load Load) (*driver, error) {
	to, err := netip.ParseAddrPort(load.Address)
	if err != nil {
		return nil, fmt.Errorf("parse address: %w", err)
	}
	if !to.Addr().Is4() || !to.Addr().IsLoopback() {
		return nil, fmt.Errorf("drive %s: only loopback addresses of IPv4 are allowed", to)
	}
	if load.Conns < 1 {
		return nil, errors.New("load without connections")
	}
	d := &driver{
		load:    load,
		target:  &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()},
		want:    body(load.Length),
		scratch: make([]byte, 256<<10),
		clients: make([]client, load.Conns),
	}
	for i := range max(1, load.Paths) {
		path := strings.Replace(load.Path, "%d", fmt.Sprint(i), 1)
		d.requests = append(d.requests, request(path, load.Mode == Fresh))
	}
	for i := range d.clients {
		d.clients[i] = client{id: i, in: make([]byte, 2<<10)}
	}
	if d.meter, err = newMeter(load.Group, load.Origin); err != nil {
		return nil, err
	}
	if d.poll, err = newPoller(); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *driver) close() {
	for i := range d.clients {
		d.clients[i].close()
	}
	d.poll.close()
}

// run does the work and returns what it measured. An error means that nothing could be measured; wrong answers are counted
// in the result.
func (d *driver) run() (Result, error) {
	var err error
	switch d.load.Mode {
	case Closed, Fresh:
		err = d.runClosed()
	case Open:
		err = d.runOpen()
	case Idle:
		err = d.runIdle()
	default:
		err = fmt.Errorf("unknown mode %q", d.load.Mode)
	}
	d.result.P50, d.result.P99 = d.latency.percentile(50), d.latency.percentile(99)
	d.result.P999, d.result.Max = d.latency.percentile(99.9), d.latency.max
	if errors.Is(err, errEnough) {
		err = nil
	}
	return d.result, err
}

var epoch = time.Now()

// now returns nanoseconds of the monotonic clock.
func now() int64 { return int64(time.Since(epoch)) }

// connect opens the client's connection. Each client has a source address of its own: a port in TIME_WAIT blocks only its
// pair of addresses, and the fresh mode uses up many.
func (d *driver) connect(c *client) error {
	source := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 1, byte(1 + c.id%250)}}
	if err := c.dial(d.target, source); err != nil {
		return err
	}
	return d.poll.add(c.fd, c.id)
}

// ask sends the next request on a connection.
func (d *driver) ask(c *client, start int64) error {
	r := d.requests[d.next]
	if d.next++; d.next == len(d.requests) {
		d.next = 0
	}
	return c.ask(r, start)
}

// step waits for events and handles them. Without any for a long time the run is given up.
func (d *driver) step(timeout time.Duration) error {
	if timeout < 0 || timeout > stalled {
		timeout = stalled
	}
	begin := now()
	events, err := d.poll.wait(timeout)
	if err != nil {
		return err
	}
	// No events alone mean nothing: Go's scheduler interrupts a wait now and then.
	if len(events) == 0 && now()-begin >= int64(stalled) {
		return d.wrong(fmt.Errorf("no answer for %v", stalled), errEnough)
	}
	for _, e := range events {
		c := &d.clients[e.Fd]
		if err := d.handle(c); err != nil {
			if err := d.wrong(err, d.again(c)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *driver) handle(c *client) error {
	if c.busy {
		done, err := c.proceed(d.want, d.scratch)
		if err != nil || !done {
			return err
		}
		if !c.parting && d.load.Mode != Fresh {
			return d.answered(c)
		}
		c.parting = true
	}
	// An answered connection: in the fresh mode the proxy must close it, else it must stay.
	ended, err := c.ended(d.scratch)
	if c.parting && (ended || err != nil) {
		return d.answered(c)
	}
	if err == nil && ended && c.fd > 0 {
		err = errors.New("connection closed by the proxy while idle")
	}
	return err
}

var errEnough = errors.New("too many errors")

// wrong counts an error. It passes on then, the trouble of going on after it, and ends the run after too many.
func (d *driver) wrong(err, then error) error {
	if d.result.Errors == 0 {
		d.result.Error = err.Error()
	}
	if d.result.Errors++; d.result.Errors >= maxErrors {
		return errEnough
	}
	return then
}

// again replaces a connection that failed and goes on as if it had answered.
func (d *driver) again(c *client) error {
	c.close()
	if err := d.connect(c); err != nil {
		return err
	}
	return d.answered(c)
}

// driverMain is the driver's process: a Load comes on standard input, a Result goes out.
func driverMain(in io.Reader, out io.Writer) error {
	own()
	var load Load
	if err := json.NewDecoder(in).Decode(&load); err != nil {
		return fmt.Errorf("read load: %w", err)
	}
	result, err := drive(load)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}

// drive runs a load by the driver that knows its mode.
func drive(load Load) (Result, error) {
	switch load.Mode {
	case Secure, Handshake, H3:
		return driveSecure(load)
	case H2:
		return driveH2(load)
	}
	d, err := newDriver(load)
	if err != nil {
		return Result{}, err
	}
	defer d.close()
	return d.run()
}
