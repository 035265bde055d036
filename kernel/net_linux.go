package kernel

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Net is the network namespace of the process. Its methods may be called from any goroutine.
type Net struct {
	mu     sync.Mutex       // guards frames and quiet
	frames *socket          // what sends whole frames, from the first announcement on
	quiet  map[string]quiet // by the names of the links that AddVirtualMAC has made

	promotion sync.Mutex // held while a link's promote_secondaries is not what it was
}

// New returns the network of the process. It needs nothing yet: see [Net.Missing].
func New() *Net { return &Net{} }

// Close frees what the announcements needed. The Net can be used again.
func (n *Net) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frames == nil {
		return nil
	}
	err := n.frames.close()
	n.frames = nil
	return err
}

// Missing are the capabilities that the package needs and this process lacks: of CAP_NET_ADMIN (addresses, links, SO_PRIORITY)
// and CAP_NET_RAW (VRRP, ARP, echo).
func (n *Net) Missing() []string {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return nil // every kernel that runs Go knows version 3; if it does not, the operations themselves will tell
	}
	var missing []string
	if data[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		missing = append(missing, "CAP_NET_ADMIN")
	}
	if data[0].Effective&(1<<unix.CAP_NET_RAW) == 0 {
		missing = append(missing, "CAP_NET_RAW")
	}
	return missing
}

// Now is [Now].
func (n *Net) Now() time.Duration { return Now() }

// Now is the time since the machine was started, suspension included (CLOCK_BOOTTIME): all processes have the same.
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("kernel: CLOCK_BOOTTIME: " + err.Error()) // Linux has had it since 2.6.39; there is nothing to go on with
	}
	return time.Duration(ts.Nano())
}

// dump asks rtnetlink for a list. A list that changed while it was read is asked for again, as it may lack entries.
func dump(request uint16, header nl.NetlinkRequestData, answer uint16) ([][]byte, error) {
	for try := 0; ; try++ {
		r := nl.NewNetlinkRequest(int(request), unix.NLM_F_DUMP)
		r.AddData(header)
		list, err := r.Execute(unix.NETLINK_ROUTE, answer)
		if !errors.Is(err, nl.ErrDumpInterrupted) || try == 10 {
			return list, err
		}
	}
}

// explain adds the next step to an error of the kernel that has one.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w (run as root or grant CAP_NET_ADMIN and CAP_NET_RAW)", err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w (ip link shows which links there are)", err)
	}
	return err
}
