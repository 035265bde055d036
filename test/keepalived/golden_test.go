package keepalived

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"skein/test/lab"
	"skein/vip/vrrp"
)

// The files in testdata hold what keepalived 2.2.7 (Debian's 1:2.2.7-1+b2) has said on lb1 of the network of [newSite]: its first
// advertisement as master, the one by which it gives up, and the first announcement of its first address, each a frame with its
// Ethernet header. They were made once, by
//
//	SKEIN_RECORD=1 go test -run TestGoldenFrames ./test/keepalived

// golden is what a router says, by kind.
type golden map[string][]byte

// The kinds.
const (
	asMaster  = "advert"
	givingUp  = "zero"
	announces = "announce"
)

// goldenRouters are the recorded ones.
func goldenRouters() map[string]router {
	all := map[string]router{}
	for _, r := range variants() {
		all[r.variant()] = r
		if r.version == 2 {
			r.password = "secret"
			all[r.variant()+"-pass"] = r
			r.password = "longerthaneight"
			all[r.variant()+"-pass-long"] = r
		}
	}
	many := plain()
	many.addresses = []string{"10.0.0.100/24", "10.0.0.101/32", "10.0.0.102/25"}
	many.interval = 2560 * time.Millisecond // more than a byte of hundredths
	all["v3-many"] = many
	return all
}

func goldenFile(name string) string { return filepath.Join("testdata", name+".txt") }

func readGolden(t *testing.T, name string) golden {
	t.Helper()
	b, err := os.ReadFile(goldenFile(name))
	if err != nil {
		t.Fatal(err)
	}
	g := golden{}
	for line := range strings.Lines(string(b)) {
		kind, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind == "#" || kind == "" {
			continue
		}
		if g[kind], err = hex.DecodeString(strings.TrimSpace(text)); err != nil {
			t.Fatalf("%s: %s: %v", goldenFile(name), kind, err)
		}
	}
	return g
}

func (g golden) write(t *testing.T, name string, r router) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "# keepalived 2.2.7, see golden_test.go: router %d, priority %d, %v, %s\n", r.id, r.priorities[0], r.interval, strings.Join(r.addresses, " "))
	for _, kind := range []string{asMaster, givingUp, announces} {
		fmt.Fprintf(&b, "%-8s %x\n", kind, g[kind])
	}
	if err := os.WriteFile(goldenFile(name), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// message splits a frame of VRRP.
func message(frame []byte) (src, dst netip.Addr, payload []byte) {
	ip := frame[14:]
	if ip[0]>>4 == 4 {
		length := int(ip[2])<<8 | int(ip[3])
		return netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20])), ip[20:length]
	}
	length := int(ip[4])<<8 | int(ip[5])
	return netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40])), ip[40 : 40+length]
}

// Test 2, the packets: what vip/vrrp writes is what keepalived writes, and it reads that as what it was.
func TestGoldenPackets(t *testing.T) {
	t.Parallel()
	for name, r := range goldenRouters() {
		t.Run(name, func(t *testing.T) {
			g := readGolden(t, name)
			for _, kind := range []string{asMaster, givingUp} {
				src, dst, payload := message(g[kind])
				want := vrrp.Advert{Version: r.version, RouterID: uint8(r.id), Interval: r.interval}
				if kind == asMaster {
					want.Priority = uint8(r.priorities[0])
				}
				for _, a := range r.addresses {
					want.Addresses = append(want.Addresses, netip.MustParsePrefix(a).Addr())
				}
				if r.password != "" {
					want.Auth = 1
					copy(want.Password[:], r.password)
				}
				if got := want.Append(nil, src, dst, false); !bytes.Equal(got, payload) {
					t.Errorf("%s is\n%x, want\n%x", kind, got, payload)
				}
				got, plain, err := vrrp.Parse(vrrp.Received{Payload: payload, Src: src, Dst: dst, TTL: 255})
				if err != nil {
					t.Fatalf("%s is refused: %v", kind, err)
				}
				if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
					t.Errorf("%s is read as (-want +got):\n%s", kind, diff)
				}
				if want := r.version == 2; plain != want {
					t.Errorf("%s without a pseudo-header: %v, want %v", kind, plain, want)
				}
			}
		})
	}
}

// Test 2, the frames: in the place of the keepalived that was recorded, both programs say what it said, byte for byte, from the
// Ethernet header on.
func TestGoldenFrames(t *testing.T) {
	t.Parallel()
	programs := []string{keepalived, skein}
	if os.Getenv("SKEIN_RECORD") == "1" {
		programs = programs[:1]
	}
	for name, r := range goldenRouters() {
		for _, program := range programs {
			t.Run(name+"-"+program, func(t *testing.T) {
				t.Parallel()
				got := record(t, program, r)
				if os.Getenv("SKEIN_RECORD") == "1" {
					got.write(t, name, r)
					return
				}
				want := readGolden(t, name)
				if program == skein {
					want.standard()
				}
				for kind := range want {
					if g, w := masked(got[kind]), masked(want[kind]); !bytes.Equal(g, w) {
						t.Errorf("%s is\n%x, want\n%x", kind, g, w)
					}
				}
			})
		}
	}
}

// standard mends the one mistake of keepalived: its advertisements over IPv6 have the hop limit 255 (RFC 9568 section 5.1.2.3) by multicast
// only, and the kernel's default by unicast.
func (g golden) standard() {
	for _, frame := range g {
		if ip := frame[14:]; ip[0]>>4 == 6 && ip[6] == byte(lab.VRRP) {
			ip[7] = 255
		}
	}
}

// record lets a program be master on lb1 for a moment.
func record(t *testing.T, program string, r router) golden {
	t.Helper()
	s := newSite(t, [2]string{program, keepalived}, r.address(), 1)
	n := s.nodes[0]
	n.start(r)
	g := golden{asMaster: n.speaks(r, time.Time{}).Frame}
	announce := s.wire.Wait(func(p lab.Packet) bool {
		a := netip.MustParseAddr(r.address())
		return n.sent(p) && (p.ARP != nil && p.ARP.Sender == a && p.ARP.Gratuitous() || p.Advertisement != nil && p.Advertisement.Target == a)
	}, settling)
	g[announces] = announce.Frame
	s.settled(n)
	at, wait := n.term()
	g[givingUp] = n.givesUp(r, at).Frame
	wait()
	s.content("Truncating auth_pass")
	s.tcpdump(r)
	return g
}

// masked is a frame without what differs from one packet to the next: the ID of IPv4, and so the checksum of its header, and the flow
// label of IPv6, which the kernel makes.
func masked(frame []byte) []byte {
	frame = bytes.Clone(frame)
	switch {
	case len(frame) < 34:
	case frame[12] == 0x08 && frame[13] == 0x00:
		copy(frame[18:20], []byte{0, 0})
		copy(frame[24:26], []byte{0, 0})
	case frame[12] == 0x86 && frame[13] == 0xdd:
		frame[15] &= 0xf0
		copy(frame[16:18], []byte{0, 0})
	}
	return frame
}
