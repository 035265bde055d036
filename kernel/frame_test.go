package kernel

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What keepalived 2.2.7 has sent, captured on a wire.
const (
	keepalivedARP = `ffff ffff ffff 0000 5e00 0133 0806 0001 0800 0604 0001 0000 5e00 0133 0a09 0064 ffff ffff ffff 0a09 0064`
	keepalivedNA  = `3333 0000 0001 0000 5e00 0234 86dd 6000 0000 0020 3aff fd00 0000 0000 0000 0000 0000 0000 0100 ff02 0000 0000 0000
		0000 0000 0000 0001 8800 fa69 2000 0000 fd00 0000 0000 0000 0000 0000 0000 0100 0201 0000 5e00 0234`
	keepalivedVRRP4 = `0100 5e00 0012 0000 5e00 0133 0800 45c0 0020 0001 0000 ff70 d090 0a09 0001 e000 0012 3133 6401 0014 75b1 0a09 0064`
	// Its flow label (0xdcff1) is a random number of the kernel's, and zero here.
	keepalivedVRRP6 = `3333 0000 0012 0000 5e00 0234 86dd 6c00 0000 0028 70ff fe80 0000 0000 0000 bcbe 7eff fe24 a5f8 ff02 0000 0000 0000
		0000 0000 0000 0012 3134 6402 0014 9024 fe80 0000 0000 0000 0000 0000 0000 0005 fd00 0000 0000 0000 0000 0000 0000 0100`
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFramesAreThoseOfKeepalived(t *testing.T) {
	group4, group6 := Group(ip("10.9.0.1")), Group(ip("fe80::1"))
	vrrp4, vrrp6 := unhex(t, keepalivedVRRP4), unhex(t, keepalivedVRRP6)
	for _, c := range []struct {
		name      string
		got, want []byte
	}{
		{"gratuitous ARP", gratuitousARP(VirtualMAC(51, false), ip("10.9.0.100")), unhex(t, keepalivedARP)},
		{"unsolicited NA", unsolicitedNA(VirtualMAC(52, true), ip("fd00::100"), false), unhex(t, keepalivedNA)},
		{"VRRP over IPv4", vrrpFrame(VirtualMAC(51, false), ip("10.9.0.1"), group4, 1, vrrp4[34:]), vrrp4},
		{"VRRP over IPv6", vrrpFrame(VirtualMAC(52, true), ip("fe80::bcbe:7eff:fe24:a5f8"), group6, 1, vrrp6[54:]), vrrp6},
	} {
		if diff := cmp.Diff(hex.Dump(c.want), hex.Dump(c.got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// A router says that it is one, and the checksum is right for that, too.
func TestNAOfRouter(t *testing.T) {
	b := unsolicitedNA(VirtualMAC(52, true), ip("fd00::100"), true)
	if b[58] != 0xa0 {
		t.Errorf("flags = %#x, want router and override (0xa0)", b[58])
	}
	if s := checksum(b[54:], pseudoHeader(ip("fd00::100"), ip("ff02::1"), 58, 32)); s != 0 {
		t.Errorf("checksum of the message with its checksum = %#x, want 0", s)
	}
}

func TestVirtualMAC(t *testing.T) {
	for _, c := range []struct {
		v6   bool
		want string
	}{{false, "00:00:5e:00:01:ff"}, {true, "00:00:5e:00:02:ff"}} {
		if got := VirtualMAC(255, c.v6).String(); got != c.want {
			t.Errorf("VirtualMAC(255, %v) = %s, want %s", c.v6, got, c.want)
		}
	}
}

func TestGroupMAC(t *testing.T) {
	for _, c := range []struct{ group, want string }{
		{"224.0.0.18", "01:00:5e:00:00:12"},
		{"239.255.1.2", "01:00:5e:7f:01:02"}, // the upper bit of the second byte does not count
		{"ff02::12", "33:33:00:00:00:12"},
	} {
		want, err := net.ParseMAC(c.want)
		if err != nil {
			t.Fatal(err)
		}
		if got := groupMAC(ip(c.group)); got.String() != want.String() {
			t.Errorf("groupMAC(%s) = %s, want %s", c.group, got, want)
		}
	}
}

// RFC 1071 section 3 has this example.
func TestChecksum(t *testing.T) {
	if got, want := checksum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 0), ^uint16(0xddf2); got != want {
		t.Errorf("checksum() = %#x, want %#x", got, want)
	}
	if got, want := checksum([]byte{0x01}, 0), ^uint16(0x0100); got != want {
		t.Errorf("checksum of an odd number of bytes = %#x, want %#x", got, want)
	}
}

func TestParseIPv4(t *testing.T) {
	packet := unhex(t, keepalivedVRRP4)[14:]
	h, ok := parseIPv4(packet)
	if want := (ipv4Header{ip("10.9.0.1"), ip("224.0.0.18"), 255, 20}); !ok || h != want {
		t.Errorf("parseIPv4() = %v, %v, want %v", h, ok, want)
	}
	withOptions := append([]byte{0x46}, packet[1:]...)
	if h, ok := parseIPv4(withOptions); !ok || h.length != 24 {
		t.Errorf("parseIPv4(with options) = %v, %v, want a header of 24 bytes", h, ok)
	}
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"short", packet[:19]},
		{"IPv6", append([]byte{0x65}, packet[1:]...)},
		{"header below 20 bytes", append([]byte{0x44}, packet[1:]...)},
		{"header longer than the packet", append([]byte{0x4f}, packet[1:]...)},
	} {
		if h, ok := parseIPv4(c.b); ok {
			t.Errorf("parseIPv4(%s) = %v, want refusal", c.name, h)
		}
	}
}

func FuzzParseIPv4(f *testing.F) {
	f.Add([]byte{0x45, 0xc0, 0, 32, 0, 1, 0, 0, 255, 112, 0, 0, 10, 9, 0, 1, 224, 0, 0, 18})
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := parseIPv4(b); ok && (h.length < 20 || h.length > len(b) || h.src == (netip.Addr{})) {
			t.Errorf("parseIPv4(%x) = %v", b, h)
		}
	})
}
