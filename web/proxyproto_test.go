package web

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

// header2 is a header of version 2: command, family, what follows.
func header2(command, family byte, rest string) string {
	b := append([]byte(proxySignature), command, family)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(rest)))) + rest
}

const (
	four = "\x0a\x00\x00\x01\x0a\x00\x00\x02\x30\x39\x00\x50"
	six  = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x30\x39\x00\x50"
	none = "invalid AddrPort"
)

func TestReadProxy(t *testing.T) {
	for name, c := range map[string]struct{ in, want, bad string }{
		"TCP4":                     {in: "PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\r\n", want: "10.0.0.1:12345"},
		"TCP6":                     {in: "PROXY TCP6 2001:db8::1 2001:db8::2 12345 80\r\n", want: "[2001:db8::1]:12345"},
		"TCP6 of an IPv4 client":   {in: "PROXY TCP6 ::ffff:10.0.0.1 2001:db8::2 12345 80\r\n", want: "10.0.0.1:12345"},
		"UNKNOWN":                  {in: "PROXY UNKNOWN\r\n", want: none},
		"UNKNOWN with addresses":   {in: "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", want: none},
		"port 0":                   {in: "PROXY TCP4 10.0.0.1 10.0.0.2 0 80\r\n", want: "10.0.0.1:0"},
		"two spaces":               {in: "PROXY  TCP4 10.0.0.1 10.0.0.2 12345 80\r\n", bad: "proxyproto"},
		"lower case":               {in: "proxy TCP4 10.0.0.1 10.0.0.2 12345 80\r\n", bad: "does not begin"},
		"no protocol":              {in: "PROXY \r\nGET / HTTP/1.1\r\n\r\n", bad: "proxyproto"},
		"another protocol":         {in: "PROXY UDP4 10.0.0.1 10.0.0.2 12345 80\r\n", bad: "proxyproto"},
		"IPv6 in TCP4":             {in: "PROXY TCP4 2001:db8::1 2001:db8::2 12345 80\r\n", bad: "proxyproto"},
		"leading zeros":            {in: "PROXY TCP4 010.0.0.1 10.0.0.2 12345 80\r\n", bad: "proxyproto"},
		"no address":               {in: "PROXY TCP4 x 10.0.0.2 12345 80\r\n", bad: "proxyproto"},
		"a name":                   {in: "PROXY TCP4 localhost 10.0.0.2 12345 80\r\n", bad: "proxyproto"},
		"large port":               {in: "PROXY TCP4 10.0.0.1 10.0.0.2 65536 80\r\n", bad: "proxyproto"},
		"negative port":            {in: "PROXY TCP4 10.0.0.1 10.0.0.2 -1 80\r\n", bad: "proxyproto"},
		"one more word":            {in: "PROXY TCP4 10.0.0.1 10.0.0.2 12345 80 x\r\n", bad: "proxyproto"},
		"one word less":            {in: "PROXY TCP4 10.0.0.1 10.0.0.2 12345\r\n", bad: "proxyproto"},
		"LF in the line":           {in: "PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\n\r\n", bad: "proxyproto"},
		"line of 108 bytes":        {in: "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", bad: "longer than 107"},
		"line without an end":      {in: "PROXY TCP4 " + strings.Repeat("1", 1000), bad: "longer than 107"},
		"version 2, IPv4":          {in: header2(0x21, 0x11, four), want: "10.0.0.1:12345"},
		"version 2, IPv6":          {in: header2(0x21, 0x21, six), want: "[2001:db8::1]:12345"},
		"version 2, TLVs":          {in: header2(0x21, 0x11, four+"\x04\x00\x03abc\x05\x00\x01x"), want: "10.0.0.1:12345"},
		"version 2, LOCAL":         {in: header2(0x20, 0x00, ""), want: none},
		"version 2, LOCAL, TLVs":   {in: header2(0x20, 0x00, "\x04\x00\x01x"), want: none},
		"version 2, LOCAL, IPv4":   {in: header2(0x20, 0x11, four), want: none},
		"version 2, unix":          {in: header2(0x21, 0x31, "/a"+strings.Repeat("\x00", 214)), want: none},
		"version 2, UDP":           {in: header2(0x21, 0x12, four), bad: "datagrams"},
		"version 2, too short":     {in: header2(0x21, 0x11, four[:8]), bad: "proxyproto"},
		"version 2, no family":     {in: header2(0x21, 0x00, ""), bad: "proxyproto"},
		"version 2, odd family":    {in: header2(0x21, 0x13, four), bad: "proxyproto"},
		"version 2, odd command":   {in: header2(0x22, 0x11, four), bad: "proxyproto"},
		"version 3":                {in: header2(0x31, 0x11, four), bad: "proxyproto"},
		"version 2, 4097 bytes":    {in: header2(0x21, 0x11, four+strings.Repeat("\x00", 4085)), bad: "longer than 4096"},
		"version 2, breaks off":    {in: header2(0x21, 0x11, four)[:20], bad: "EOF"},
		"half a signature":         {in: proxySignature[:8] + "GET / HTTP/1.1\r\n", bad: "does not begin"},
		"HTTP":                     {in: "GET / HTTP/1.1\r\nHost: h\r\n\r\n", bad: "does not begin"},
		"TLS":                      {in: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03xxxxxxxxx", bad: "does not begin"},
		"nothing":                  {in: "", bad: "EOF"},
		"the end in the beginning": {in: "PROXY TCP4", bad: "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, slow := range []bool{false, true} {
				in := strings.NewReader(c.in)
				var r io.Reader = in
				if c.bad == "" {
					in = strings.NewReader(c.in + "GET / HTTP/1.1\r\n\r\n")
					r = in
				}
				if slow {
					r = iotest.OneByteReader(r)
				}
				got, err := readProxy(r)
				if c.bad != "" {
					if err == nil || !strings.Contains(err.Error(), c.bad) {
						t.Fatalf("readProxy = %v, %v; want an error with %q", got, err, c.bad)
					}
					continue
				}
				if err != nil || got.String() != c.want {
					t.Fatalf("readProxy = %v, %v; want %s", got, err, c.want)
				}
				if rest, _ := io.ReadAll(in); string(rest) != "GET / HTTP/1.1\r\n\r\n" {
					t.Errorf("what follows = %q", rest)
				}
			}
		})
	}
}

func FuzzReadProxy(f *testing.F) {
	f.Add([]byte("PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\r\n"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte(header2(0x21, 0x11, four)))
	f.Add([]byte(header2(0x21, 0x21, six+"\x04\x00\x01x")))
	f.Add([]byte(header2(0x20, 0x00, "")))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.NewReader(b)
		got, err := readProxy(in)
		read := len(b) - in.Len()
		if read > 16+maxProxyHeader {
			t.Errorf("%d bytes were read", read)
		}
		if err != nil {
			return
		}
		head := b[:read]
		switch {
		case bytes.HasPrefix(head, []byte(proxyLine)):
			if !bytes.HasSuffix(head, []byte("\r\n")) || bytes.Count(head, []byte("\n")) != 1 || read > maxProxyLine {
				t.Errorf("read %q as a line", head)
			}
			if got.IsValid() && !strings.Contains(string(head), " TCP") {
				t.Errorf("an address from %q", head)
			}
		case bytes.HasPrefix(head, []byte(proxySignature)):
			if read != 16+int(binary.BigEndian.Uint16(head[14:])) {
				t.Errorf("read %d bytes of %q", read, head)
			}
		default:
			t.Errorf("took %q", head)
		}
		if got.IsValid() && got.Addr().Is4In6() {
			t.Errorf("%v is IPv4 in IPv6 form", got)
		}
	})
}

// peer is a connection to somewhere that remembers what was written.
type peer struct {
	net.Conn
	to  net.Addr
	got bytes.Buffer
}

func (p *peer) RemoteAddr() net.Addr        { return p.to }
func (p *peer) Write(b []byte) (int, error) { return p.got.Write(b) }

func TestGreet(t *testing.T) {
	tcp := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	for name, c := range map[string]struct {
		client, visitor string
		to              net.Addr
		want, dest      string
	}{
		"IPv4":              {"10.0.0.9:1234", "10.0.0.9", tcp("10.0.0.1:80"), "10.0.0.9:1234", "10.0.0.1:80"},
		"IPv6":              {"[2001:db8::9]:1234", "2001:db8::9", tcp("[2001:db8::1]:80"), "[2001:db8::9]:1234", "[2001:db8::1]:80"},
		"IPv4 to IPv6":      {"10.0.0.9:1234", "10.0.0.9", tcp("[2001:db8::1]:80"), "10.0.0.9:1234", "[2001:db8::1]:80"},
		"IPv6 to IPv4":      {"[2001:db8::9]:1234", "2001:db8::9", tcp("10.0.0.1:80"), "[2001:db8::9]:1234", "10.0.0.1:80"},
		"IPv4 to unix":      {"10.0.0.9:1234", "10.0.0.9", &net.UnixAddr{Net: "unix", Name: "/a"}, "10.0.0.9:1234", "0.0.0.0:0"},
		"IPv6 to unix":      {"[2001:db8::9]:1234", "2001:db8::9", &net.UnixAddr{Net: "unix", Name: "/a"}, "[2001:db8::9]:1234", "[::]:0"},
		"behind a proxy":    {"10.0.0.9:1234", "192.0.2.7", tcp("10.0.0.1:80"), "192.0.2.7:0", "10.0.0.1:80"},
		"of another family": {"10.0.0.9:1234", "2001:db8::7", tcp("10.0.0.1:80"), "[2001:db8::7]:0", "10.0.0.1:80"},
	} {
		t.Run(name, func(t *testing.T) {
			x := &exchange{client: &client{}}
			x.client.is(netip.MustParseAddrPort(c.client))
			x.line.visitor = netip.MustParseAddr(c.visitor)
			p := &peer{to: c.to}
			if err := x.greet(p); err != nil {
				t.Fatal(err)
			}
			sent := bytes.Clone(p.got.Bytes())
			got, err := readProxy(&p.got)
			if err != nil || got.String() != c.want || p.got.Len() > 0 {
				t.Errorf("%q says %v, %v; want %s", sent, got, err, c.want)
			}
			size, at := 4, 16
			if sent[13] == 0x21 {
				size = 16
			}
			dst, _ := netip.AddrFromSlice(sent[at+size : at+2*size])
			port := binary.BigEndian.Uint16(sent[at+2*size+2:])
			if d := netip.AddrPortFrom(dst.Unmap(), port); d.String() != c.dest {
				t.Errorf("destination = %v, want %s", d, c.dest)
			}
		})
	}
}
