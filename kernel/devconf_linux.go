package kernel

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Settings of a link and IPv4 (include/uapi/linux/ip.h), the same as in /proc/sys/net/ipv4/conf. They are set by netlink, as
// /proc/sys is read-only in containers and for services of systemd with ProtectKernelTunables.
const (
	devconfRPFilter           = 8
	devconfARPAnnounce        = 18
	devconfARPIgnore          = 19
	devconfPromoteSecondaries = 20
)

// inet6AddrGenModeNone makes no link-local address for a link (include/uapi/linux/if_link.h).
const inet6AddrGenModeNone = 1

// devconf reads a setting of a link and IPv4.
func devconf(link, name string) (int, error) {
	return readNumber("/proc/sys/net/ipv4/conf/" + link + "/" + name)
}

func readNumber(file string) (int, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", file, err)
	}
	return v, nil
}

// setDevconf changes settings of a link and IPv4.
func setDevconf(index int, values map[int]uint32) error {
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	conf := spec.AddRtAttr(unix.AF_INET, nil).AddRtAttr(unix.IFLA_INET_CONF, nil)
	for k, v := range values {
		conf.AddRtAttr(k, nl.Uint32Attr(v))
	}
	return setLink(index, spec)
}

// setLink changes a link.
func setLink(index int, attributes ...*nl.RtAttr) error {
	r := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(index)
	r.AddData(m)
	for _, a := range attributes {
		r.AddData(a)
	}
	_, err := r.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// switchOn sets a link up.
func switchOn(index int) error {
	r := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index, m.Flags, m.Change = int32(index), unix.IFF_UP, unix.IFF_UP
	r.AddData(m)
	_, err := r.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
