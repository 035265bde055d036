package reload

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// established lists the kernel's connections that are open (state 01 of /proc/net/tcp).
func established(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	var open strings.Builder
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 3 && f[3] == "01" {
			open.WriteString(f[2] + "\n")
		}
	}
	return open.String()
}

// hexPort is the address in the kernel's spelling: the bytes of an IPv4 address as a little-endian number.
func hexPort(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	ip := net.ParseIP(host).To4()
	n, _ := strconv.Atoi(port)
	return fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], n)
}
