//go:build !linux

package kernel

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// Net is the network of the process. Other systems than Linux have none that this package knows.
type Net struct{}

// New returns a Net whose methods fail with [errors.ErrUnsupported].
func New() *Net { return &Net{} }

// Close frees nothing.
func (n *Net) Close() error { return nil }

// Links is for Linux only.
func (n *Net) Links() ([]Link, error) { return nil, errors.ErrUnsupported }

// Watch is for Linux only.
func (n *Net) Watch(context.Context, func()) error { return errors.ErrUnsupported }

// AddAddress is for Linux only.
func (n *Net) AddAddress(string, netip.Prefix) error { return errors.ErrUnsupported }

// RemoveAddress is for Linux only.
func (n *Net) RemoveAddress(string, netip.Prefix) error { return errors.ErrUnsupported }

// Announce is for Linux only.
func (n *Net) Announce(string, netip.Addr) error { return errors.ErrUnsupported }

// OpenVRRP is for Linux only.
func (n *Net) OpenVRRP(VRRPOptions) (VRRPSocket, error) { return nil, errors.ErrUnsupported }

// OpenEcho is for Linux only.
func (n *Net) OpenEcho(bool) (EchoSocket, error) { return nil, errors.ErrUnsupported }

// AddVirtualMAC is for Linux only.
func (n *Net) AddVirtualMAC(string, string, uint8, bool) error { return errors.ErrUnsupported }

// RemoveLink is for Linux only.
func (n *Net) RemoveLink(string) error { return errors.ErrUnsupported }

// Connections is for Linux only.
func (n *Net) Connections([]netip.Addr) (int, error) { return 0, errors.ErrUnsupported }

// ConnectionIDs is for Linux only.
func (n *Net) ConnectionIDs([]netip.Addr) ([]uint64, error) { return nil, errors.ErrUnsupported }

// Missing says that nothing of this package works here.
func (n *Net) Missing() []string { return []string{"Linux"} }

// Now is the time since the machine was started.
func (n *Net) Now() time.Duration { return Now() }

// Now is for Linux only: other clocks have no common zero among processes.
func Now() time.Duration { return 0 }

// Realtime is for Linux only.
func Realtime() error { return errors.ErrUnsupported }

// Process is another process.
type Process struct{}

// OpenProcess is for Linux only.
func OpenProcess(int) (*Process, error) { return nil, errors.ErrUnsupported }

// Look is for Linux only.
func (p *Process) Look() (ProcessState, error) { return ProcessState{}, errors.ErrUnsupported }

// Close is for Linux only.
func (p *Process) Close() error { return nil }
