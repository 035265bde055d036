//go:build !linux

package listen

import (
	"errors"
	"fmt"
	"net/netip"
)

// setFilter is not possible: this system's sockets have no filter.
func setFilter(_ int, addresses []netip.Addr, _ bool) error {
	if len(addresses) == 0 {
		return nil
	}
	return fmt.Errorf("%w on this system", errors.ErrUnsupported)
}
